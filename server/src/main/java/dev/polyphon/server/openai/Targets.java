package dev.polyphon.server.openai;

import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.http.Outlet;
import dev.polyphon.server.tenant.Caller;

/**
 * Finds base and adapter. {@code model} names a base or an adapter; beside a base, the field {@code adapter_id} or the header
 * {@code X-Adapter} may name the adapter. Without a model a tenant's default adapter is meant. What a tenant may not use is not there for it.
 */
public final class Targets {
    private final Runtime runtime;

    public Targets(Runtime runtime) {
        this.runtime = runtime;
    }

    Target find(Fields fields, Outlet outlet) {
        return find(fields.text("model"), fields.text("adapter_id"), "adapter_id", outlet);
    }

    /**
     * Finds what a request is for, or throws {@link ApiException}.
     *
     * @param named the model that the request names, or null
     * @param adapter the adapter that the request names beside the model, or null
     * @param field where it does
     */
    public Target find(String named, String adapter, String field, Outlet outlet) {
        Caller caller = Caller.of(outlet.caller());
        String model = named == null || named.isEmpty() ? caller.tenant().defaultAdapter() : named;
        if (model == null) {
            throw ApiException.invalid("model", "missing_required_parameter", "you must provide a model parameter");
        }
        Choice choice = chosen(field, adapter, outlet.request().header("X-Adapter"));
        var base = runtime.model(model).filter(one -> caller.mayUse(one.name()));
        if (base.isPresent()) {
            return choice == null ? new Target(model, base.get(), null) : withAdapter(base.get(), choice, caller);
        }
        AdapterInfo found = runtime.adapters().find(caller.tenantName(), model).orElseThrow(() -> noSuch("model", model, "model", "model_not_found"));
        if (choice != null && !choice.adapter.equals(model)) {
            throw contradiction("'model' names the adapter '" + model + "', but " + choice.where + " names '" + choice.adapter + "'.");
        }
        ModelInfo of = runtime.model(found.base()).filter(one -> caller.mayUse(one.name())).orElseThrow(() -> noSuch("model", model, "model", "model_not_found"));
        return new Target(model, of, model);
    }

    /** An adapter's name and where the request has it. */
    private record Choice(String adapter, String where) {}

    private static Choice chosen(String field, String value, String header) {
        boolean inField = value != null && !value.isEmpty();
        boolean inHeader = header != null && !header.isEmpty();
        if (inField && inHeader && !value.equals(header)) {
            throw contradiction("'" + field + "' names '" + value + "', but the header 'X-Adapter' names '" + header + "'.");
        }
        if (inField) {
            return new Choice(value, "'" + field + "'");
        }
        return inHeader ? new Choice(header, "the header 'X-Adapter'") : null;
    }

    private Target withAdapter(ModelInfo base, Choice choice, Caller caller) {
        AdapterInfo adapter =
                runtime.adapters().find(caller.tenantName(), choice.adapter).orElseThrow(() -> noSuch("adapter_id", choice.adapter, "adapter", "adapter_not_found"));
        if (!adapter.base().equals(base.name())) {
            throw contradiction("The adapter '" + choice.adapter + "' belongs to the model '" + adapter.base() + "', not to '" + base.name() + "'.");
        }
        return new Target(base.name(), base, choice.adapter);
    }

    /** As if it did not exist, whether or not it does for others. */
    public static ApiException noSuch(String param, String name, String what, String code) {
        return new ApiException(new ApiError(404, "The " + what + " `" + name + "` does not exist or you do not have access to it.",
                ApiError.INVALID, param, code, null));
    }

    private static ApiException contradiction(String message) {
        return ApiException.invalid("adapter_id", "invalid_value", message);
    }
}
