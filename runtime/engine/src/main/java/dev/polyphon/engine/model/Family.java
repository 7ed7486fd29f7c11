package dev.polyphon.engine.model;

import dev.polyphon.engine.weights.MalformedFileException;
import java.util.List;

/** A model family: how its configuration reads as a spec, and where its checkpoints keep each module. */
public interface Family {

    /** All families, by {@code model_type}. */
    List<Family> ALL = List.of(new LlamaFamily(), new Phi3Family(), new GemmaFamily(), new BloomFamily(), new OptFamily(), new GptJFamily(),
            new GptNeoXFamily(), new Gpt2Family(), new StarCoder2Family());

    /** Whether configurations with this {@code model_type} are of the family. */
    boolean covers(String modelType);

    /** @throws MalformedFileException when the configuration lacks something, or asks for something this engine does not compute */
    ArchitectureSpec spec(ModelConfig config) throws MalformedFileException;

    Layout layout(ArchitectureSpec spec);

    static Family of(ModelConfig config) throws MalformedFileException {
        String type = config.string("model_type");
        return ALL.stream()
                .filter(f -> f.covers(type))
                .findFirst()
                .orElseThrow(() -> config.error("model_type \"" + type + "\" is not supported"));
    }
}
