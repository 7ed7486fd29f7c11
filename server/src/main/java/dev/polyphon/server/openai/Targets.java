package dev.polyphon.server.openai;

import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.http.Outlet;
import dev.polyphon.server.tenant.Caller;
import java.util.List;

/**
 * Finds base and adapter. {@code model} names a base or an adapter; beside a base, the field {@code adapter_id} or the header
 * {@code X-Adapter} may name the adapter, or {@code adapters} several that are added up by their weights. {@code task} names one of the adapter's tasks. Without a model a tenant's default adapter is meant. What a tenant may not use is not there for it.
 */
public final class Targets {
    private final Runtime runtime;

    public Targets(Runtime runtime) {
        this.runtime = runtime;
    }

    /** @param most how many adapters a mix may have */
    Target find(Fields fields, int most, Outlet outlet) {
        List<AdapterWeight> mix = AdapterFields.read(fields, most);
        String task = fields.text("task");
        if (mix.isEmpty()) {
            return find(fields.text("model"), fields.text("adapter_id"), "adapter_id", outlet).withTask(task);
        }
        Choice other = chosen("adapter_id", fields.text("adapter_id"), outlet.request().header("X-Adapter"));
        if (other != null || task != null) {
            throw contradiction("adapters", "'adapters' says what adapters are used, and " + (other != null ? other.where : "'task'") + " must not be given beside it.");
        }
        return mixed(fields.text("model"), mix, Caller.of(outlet.caller()));
    }

    private Target mixed(String model, List<AdapterWeight> mix, Caller caller) {
        ModelInfo base = null;
        if (model != null && !model.isEmpty()) {
            base = runtime.model(model).filter(one -> caller.mayUse(one.name())).orElse(null);
            if (base == null && runtime.adapters().find(caller.tenantName(), model).isPresent()) {
                throw contradiction("adapters", "'model' names the adapter '" + model + "'; beside 'adapters' it must be their base.");
            }
            if (base == null) {
                throw noSuch("model", model, "model", "model_not_found");
            }
        }
        for (AdapterWeight one : mix) {
            AdapterInfo adapter = runtime.adapters().find(caller.tenantName(), one.name())
                    .orElseThrow(() -> noSuch("adapters", one.name(), "adapter", "adapter_not_found"));
            if (base == null) {
                base = runtime.model(adapter.base()).filter(of -> caller.mayUse(of.name()))
                        .orElseThrow(() -> noSuch("adapters", one.name(), "adapter", "adapter_not_found"));
            }
            requireBase(adapter, base, "adapters");
        }
        return new Target(base.name(), base, mix);
    }

    private static void requireBase(AdapterInfo adapter, ModelInfo base, String field) {
        if (!adapter.base().equals(base.name())) {
            throw contradiction(field, "The adapter '" + adapter.name() + "' belongs to the model '" + adapter.base() + "', not to '" + base.name() + "'.");
        }
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
            return choice == null ? new Target(model, base.get(), List.of()) : withAdapter(base.get(), choice, caller);
        }
        AdapterInfo found = runtime.adapters().find(caller.tenantName(), model).orElseThrow(() -> noSuch("model", model, "model", "model_not_found"));
        if (choice != null && !choice.adapter.equals(model)) {
            throw contradiction("adapter_id", "'model' names the adapter '" + model + "', but " + choice.where + " names '" + choice.adapter + "'.");
        }
        ModelInfo of = runtime.model(found.base()).filter(one -> caller.mayUse(one.name())).orElseThrow(() -> noSuch("model", model, "model", "model_not_found"));
        return new Target(model, of, List.of(new AdapterWeight(model)));
    }

    /** An adapter's name and where the request has it. */
    private record Choice(String adapter, String where) {}

    private static Choice chosen(String field, String value, String header) {
        boolean inField = value != null && !value.isEmpty();
        boolean inHeader = header != null && !header.isEmpty();
        if (inField && inHeader && !value.equals(header)) {
            throw contradiction("adapter_id", "'" + field + "' names '" + value + "', but the header 'X-Adapter' names '" + header + "'.");
        }
        if (inField) {
            return new Choice(value, "'" + field + "'");
        }
        return inHeader ? new Choice(header, "the header 'X-Adapter'") : null;
    }

    private Target withAdapter(ModelInfo base, Choice choice, Caller caller) {
        AdapterInfo adapter =
                runtime.adapters().find(caller.tenantName(), choice.adapter).orElseThrow(() -> noSuch("adapter_id", choice.adapter, "adapter", "adapter_not_found"));
        requireBase(adapter, base, "adapter_id");
        return new Target(base.name(), base, List.of(new AdapterWeight(choice.adapter)));
    }

    /** As if it did not exist, whether or not it does for others. */
    public static ApiException noSuch(String param, String name, String what, String code) {
        return new ApiException(new ApiError(404, "The " + what + " `" + name + "` does not exist or you do not have access to it.",
                ApiError.INVALID, param, code, null));
    }

    private static ApiException contradiction(String field, String message) {
        return ApiException.invalid(field, "invalid_value", message);
    }
}
