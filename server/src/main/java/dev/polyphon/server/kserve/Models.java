package dev.polyphon.server.kserve;

import dev.polyphon.kserve.proto.ModelConfig;
import dev.polyphon.kserve.proto.ModelConfigResponse;
import dev.polyphon.kserve.proto.ModelInput;
import dev.polyphon.kserve.proto.ModelMetadataResponse;
import dev.polyphon.kserve.proto.ModelMetadataResponse.TensorMetadata;
import dev.polyphon.kserve.proto.ModelOutput;
import dev.polyphon.kserve.proto.ModelParameter;
import dev.polyphon.kserve.proto.ModelTransactionPolicy;
import dev.polyphon.kserve.proto.ServerMetadataResponse;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.http.Outlet;
import dev.polyphon.server.observe.Version;
import dev.polyphon.server.openai.ApiException;
import dev.polyphon.server.openai.Target;
import dev.polyphon.server.openai.Targets;
import java.util.List;
import java.util.function.BooleanSupplier;

/** What there is to know of the server and its models. All methods but the first two throw an {@link ApiException} for a model that is not there. */
final class Models {
    /** The only version of every model. */
    static final String VERSION = "1";

    private static final String PLATFORM = "polyphon";
    private static final List<String> EXTENSIONS = List.of(
            "binary_tensor_data", "generate", "model_configuration", "model_repository", "model_repository(unload_dependents)", "parameters", "statistics");

    private final Runtime runtime;
    private final Targets targets;
    private final BooleanSupplier ready;

    Models(Runtime runtime, BooleanSupplier ready) {
        this.runtime = runtime;
        this.targets = new Targets(runtime);
        this.ready = ready;
    }

    ServerMetadataResponse server() {
        return ServerMetadataResponse.newBuilder().setName("polyphon").setVersion(Version.TEXT).addAllExtensions(EXTENSIONS).build();
    }

    boolean ready() {
        return ready.getAsBoolean() && !runtime.models().isEmpty();
    }

    boolean ready(String model, String version, Outlet outlet) {
        require(model, version, outlet);
        return ready();
    }

    ModelMetadataResponse metadata(String model, String version, Outlet outlet) {
        require(model, version, outlet);
        var metadata = ModelMetadataResponse.newBuilder().setName(model).addVersions(VERSION).setPlatform(PLATFORM);
        Signature.INPUTS.forEach(input -> metadata.addInputs(tensor(input)));
        Signature.OUTPUTS.forEach(output -> metadata.addOutputs(tensor(output)));
        return metadata.build();
    }

    private static TensorMetadata tensor(Signature tensor) {
        return TensorMetadata.newBuilder().setName(tensor.name()).setDatatype(tensor.datatype()).addShape(tensor.size()).build();
    }

    ModelConfigResponse config(String model, String version, Outlet outlet) {
        Target target = require(model, version, outlet);
        var config = ModelConfig.newBuilder()
                .setName(model)
                .setPlatform(PLATFORM)
                .setBackend(PLATFORM)
                .setModelTransactionPolicy(ModelTransactionPolicy.newBuilder().setDecoupled(true))
                .putParameters("base_model", parameter(target.base().name()))
                .putParameters("context_length", parameter(Integer.toString(target.base().contextLength())));
        if (target.adapter() != null) {
            config.putParameters("adapter", parameter(target.adapter()));
        }
        Signature.INPUTS.forEach(input -> config.addInput(
                ModelInput.newBuilder().setName(input.name()).setDataType(input.type()).addDims(input.size()).setOptional(input.optional())));
        Signature.OUTPUTS.forEach(output -> config.addOutput(
                ModelOutput.newBuilder().setName(output.name()).setDataType(output.type()).addDims(output.size())));
        return ModelConfigResponse.newBuilder().setConfig(config).build();
    }

    private static ModelParameter parameter(String value) {
        return ModelParameter.newBuilder().setStringValue(value).build();
    }

    /** The model, or an error as if it did not exist. */
    Target require(String model, String version, Outlet outlet) {
        Inference.requireVersion(model, version);
        return targets.find(model, null, "", outlet);
    }
}
