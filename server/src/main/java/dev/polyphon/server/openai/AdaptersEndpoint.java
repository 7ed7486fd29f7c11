package dev.polyphon.server.openai;

import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Response;
import dev.polyphon.server.tenant.Caller;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.CompletionException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * {@code POST /v1/load_lora_adapter} and {@code POST /v1/unload_lora_adapter}, with vLLM's fields and texts. Both look at files, so they run
 * on threads of their own.
 */
public final class AdaptersEndpoint {
    private static final Logger LOG = LoggerFactory.getLogger(AdaptersEndpoint.class);

    private static final String USER = "InvalidUserInput";
    private static final String NOT_FOUND = "NotFoundError";
    private static final String BAD = "BadRequestError";

    private final Runtime runtime;
    private final AdapterSettings settings;

    public AdaptersEndpoint(Runtime runtime, AdapterSettings settings) {
        this.runtime = runtime;
        this.settings = settings;
    }

    void load(Exchange exchange) {
        run(exchange, this::load);
    }

    void unload(Exchange exchange) {
        run(exchange, this::unload);
    }

    /** What is asked for, in a request's fields, for adapters of an owner. */
    private interface Operation {
        String run(Fields fields, String owner);
    }

    private void run(Exchange exchange, Operation operation) {
        String owner = Caller.of(exchange.caller()).owner();
        exchange.offload(() -> {
            try {
                requireLoading();
                exchange.respond(Response.text(200, operation.run(new Fields(Json.object(exchange.request())), owner)));
            } catch (ApiException e) {
                exchange.respond(e.error().response());
            } catch (RuntimeFault e) {
                exchange.respond(ApiError.of(e).response());
            }
        });
    }

    /** Refuses, where the settings do not let clients change adapters. */
    public void requireLoading() {
        if (!settings.loading()) {
            throw new ApiException(ApiError.of(403, "PermissionError", "adapters_fixed", "Adapters cannot be loaded or unloaded while this server runs: "
                    + "the setting 'adapters.loading' is off."));
        }
    }

    /** Loads what the fields of {@code /v1/load_lora_adapter} say, or throws an {@link ApiException}; waits for files. */
    public String load(Fields fields, String owner) {
        String name = fields.text("lora_name");
        String path = fields.text("lora_path");
        if (name == null || name.isEmpty() || path == null || path.isEmpty()) {
            throw error(400, USER, null, "Both 'lora_name' and 'lora_path' must be provided.");
        }
        boolean replace = fields.flag("load_inplace", false);
        ModelInfo base = base(fields.text("base_model_name"));
        if (runtime.model(name).isPresent()) {
            throw error(400, USER, "lora_name", "The lora adapter name '" + name + "' conflicts with a served base model.");
        }
        Path folder = folder(path, owner);
        try {
            AdapterInfo loaded = runtime.adapters().load(new AdapterRegistration(new AdapterId(owner, name), base.name(),
                    new AdapterSource.Folder(folder), Map.of(), null, replace)).join();
            LOG.info("adapter {} ({}) loaded for {} from {}", name, loaded.kind(), base.name(), folder);
        } catch (CompletionException e) {
            if (e.getCause() instanceof RuntimeFault fault) {
                throw loadError(name, fault);
            }
            throw e;
        } catch (RuntimeFault fault) {
            throw loadError(name, fault);
        }
        return "Success: LoRA adapter '" + name + "' added successfully.";
    }

    private static ApiException loadError(String name, RuntimeFault fault) {
        return switch (fault.kind()) {
            case CONFLICT -> error(400, USER, "lora_name", "The lora adapter '" + name + "' has already been loaded. If you want to load the adapter "
                    + "in place, set 'load_inplace' to True.");
            case ADAPTER_UNUSABLE, INVALID, UNKNOWN_ADAPTER -> error(400, BAD, "lora_path", fault.getMessage());
            default -> new ApiException(ApiError.of(fault));
        };
    }

    /** The base an adapter is for: the only one when none is named. */
    private ModelInfo base(String name) {
        if (name != null) {
            return runtime.model(name).orElseThrow(() -> Targets.noSuch("base_model_name", name, "model", "model_not_found"));
        }
        if (runtime.models().size() != 1) {
            throw error(400, USER, "base_model_name", "This server has " + runtime.models().size() + " base models: 'base_model_name' must name one.");
        }
        return runtime.models().getFirst();
    }

    /** The folder meant, if its owner may load from it; a tenant learns nothing of what there is elsewhere. */
    private Path folder(String text, String owner) {
        Path folder = null;
        try {
            folder = Path.of(text).toRealPath();
        } catch (InvalidPathException | IOException e) {
            LOG.debug("no folder {}", text, e);
        }
        boolean tenants = !owner.equals(AdapterId.SHARED);
        if (tenants && (folder == null || !settings.allows(folder, owner)) || folder != null && !tenants && !settings.allows(folder)) {
            throw error(403, "PermissionError", "lora_path", "Adapters may not be loaded from " + text + ": it is in none of the folders of "
                    + "the setting 'adapters.roots'" + (tenants ? ", below the one with the tenant's name." : "."));
        }
        if (folder == null || !Files.isDirectory(folder)) {
            throw error(404, NOT_FOUND, "lora_path", "Loading lora failed: No adapter found for " + text + ": "
                    + (folder == null ? "there is no such folder." : "it is not a folder."));
        }
        return folder;
    }

    private String unload(Fields fields, String owner) {
        String name = fields.text("lora_name");
        if (name == null || name.isEmpty()) {
            throw error(400, USER, "lora_name", "'lora_name' needs to be provided to unload a LoRA adapter.");
        }
        try {
            runtime.adapters().remove(new AdapterId(owner, name));
        } catch (RuntimeFault fault) {
            if (fault.kind() == RuntimeFault.Kind.UNKNOWN_ADAPTER) {
                throw error(404, NOT_FOUND, "lora_name", "The lora adapter '" + name + "' cannot be found.");
            }
            throw fault;
        }
        LOG.info("adapter {} unloaded", name);
        return "Success: LoRA adapter '" + name + "' removed successfully.";
    }

    private static ApiException error(int status, String type, String param, String message) {
        return new ApiException(new ApiError(status, message, type, param, null, null));
    }
}
