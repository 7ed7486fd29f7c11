package dev.polyphon.server.kserve;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.kserve.proto.ModelRepositoryParameter;
import dev.polyphon.kserve.proto.RepositoryIndexResponse;
import dev.polyphon.kserve.proto.RepositoryIndexResponse.ModelIndex;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterPage;
import dev.polyphon.runtime.AdapterQuery;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.server.openai.AdapterSettings;
import dev.polyphon.server.openai.AdaptersEndpoint;
import dev.polyphon.server.openai.ApiException;
import dev.polyphon.server.openai.Fields;
import dev.polyphon.server.openai.Json;
import dev.polyphon.server.tenant.Caller;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.CompletionException;

/**
 * The extension for model repositories: bases are always loaded; an adapter is a model of the repository that can be unloaded, which removes it for new
 * requests, and loaded again. A new one is loaded with the parameter {@code config}, a JSON object that says {@code lora_path}.
 *
 * <p>All of it may wait for files. What goes wrong is an {@link ApiException} or a {@link RuntimeFault}.
 */
final class Repository {
    private static final int PAGE = 1000;

    private final Runtime runtime;
    private final AdaptersEndpoint adapters;

    Repository(Runtime runtime, AdapterSettings settings) {
        this.runtime = runtime;
        this.adapters = new AdaptersEndpoint(runtime, settings);
    }

    /** @param onlyReady whether models that are not ready are left out */
    RepositoryIndexResponse index(Caller caller, boolean onlyReady) {
        var index = RepositoryIndexResponse.newBuilder();
        runtime.models().stream().filter(base -> caller.mayUse(base.name())).forEach(base -> index.addModels(entry(base.name(), "READY", "")));
        addAdapters(index, AdapterQuery.visibleTo(caller.tenantName(), PAGE), onlyReady);
        if (!onlyReady) {
            addAdapters(index, new AdapterQuery(caller.tenantName(), null, "", Map.of(), java.util.Set.of(), false, true, PAGE, null), false);
        }
        return index.build();
    }

    private void addAdapters(RepositoryIndexResponse.Builder index, AdapterQuery query, boolean onlyReady) {
        AdapterQuery next = query;
        for (AdapterPage page; next != null; next = page.next() == null ? null : query.from(page.next())) {
            page = runtime.adapters().list(next);
            for (AdapterInfo adapter : page.adapters()) {
                String reason = query.deleted() ? "unloaded" : adapter.failure() == null ? "" : adapter.failure().reason();
                if (reason.isEmpty() || !onlyReady) {
                    index.addModels(entry(adapter.name(), reason.isEmpty() ? "READY" : "UNAVAILABLE", reason));
                }
            }
        }
    }

    private static ModelIndex entry(String name, String state, String reason) {
        return ModelIndex.newBuilder().setName(name).setVersion(Models.VERSION).setState(state).setReason(reason).build();
    }

    void load(Caller caller, String name, Map<String, ModelRepositoryParameter> parameters) {
        adapters.requireLoading();
        for (String parameter : parameters.keySet()) {
            if (!parameter.equals("config")) {
                throw Inputs.wrong(parameter, parameter.startsWith("file:")
                        ? "Files in a load request are not supported: name a folder in 'config' as 'lora_path', or upload the adapter."
                        : "Unknown parameter '" + parameter + "' in a load request: there is 'config'.");
            }
        }
        ModelRepositoryParameter config = parameters.get("config");
        if (config != null) {
            adapters.load(new Fields(registration(name, config.getStringParam())), caller.owner());
        } else if (runtime.model(name).isEmpty()) {
            loadKnown(caller, name);
        }
    }

    /** The fields of a registration, at the top or as a model configuration has them, among its {@code parameters}. */
    private static ObjectNode registration(String name, String config) {
        byte[] bytes = config.getBytes(StandardCharsets.UTF_8);
        ObjectNode json;
        try {
            json = Json.object(bytes, 0, bytes.length);
        } catch (ApiException e) {
            throw Inputs.wrong("config", "The parameter 'config' must be a JSON object: " + e.getMessage());
        }
        for (Map.Entry<String, JsonNode> parameter : json.path("parameters").properties()) {
            json.set(parameter.getKey(), parameter.getValue().path("string_value"));
        }
        if (!json.path("lora_path").isTextual()) {
            throw Inputs.wrong("config", "The parameter 'config' must have a text 'lora_path', the folder of the adapter.");
        }
        return json.put("lora_name", name).put("load_inplace", true);
    }

    /** Brings a registered adapter into memory, and one that was unloaded back. */
    private void loadKnown(Caller caller, String name) {
        AdapterId id = runtime.adapters().find(caller.tenantName(), name).map(AdapterInfo::id).orElseGet(() -> runtime.adapters().restore(new AdapterId(caller.owner(), name)).id());
        try {
            runtime.adapters().load(id).join();
        } catch (CompletionException e) {
            throw e.getCause() instanceof RuntimeException cause ? cause : e;
        }
    }

    void unload(Caller caller, String name) {
        adapters.requireLoading();
        if (runtime.model(name).isPresent()) {
            throw Inputs.wrong("model_name", "The base model '" + name + "' cannot be unloaded while the server runs.");
        }
        runtime.adapters().remove(runtime.adapters().find(caller.tenantName(), name).map(AdapterInfo::id).filter(id -> id.owner().equals(caller.owner()))
                .orElseThrow(() -> RuntimeFault.of(RuntimeFault.Kind.UNKNOWN_ADAPTER, "there is no model " + name)));
    }
}
