package dev.polyphon.engine.model;

import dev.polyphon.engine.weights.TensorFile;
import dev.polyphon.engine.weights.TensorView;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** An opened base model: its description and its tensors, mapped as long as it is open. */
public interface Checkpoint extends AutoCloseable {

    /** The folder or file it was opened from. */
    Path source();

    ArchitectureSpec spec();

    /** The family's module paths, by which adapters name modules. */
    Layout layout();

    /** All its tensors as the file has them. */
    TensorFile file();

    /** What is stored for a site, or empty. */
    Optional<Stored> stored(Site site);

    /** The same. @throws IllegalArgumentException when there is none */
    default Stored required(Site site) {
        return stored(site).orElseThrow(() -> new IllegalArgumentException("this base has no weight at " + site));
    }

    @Override
    void close();

    /** Opens a Hugging Face folder or a GGUF file. */
    static Checkpoint open(Path path) throws IOException {
        return Files.isDirectory(path) ? HuggingFaceCheckpoint.open(path) : GgufCheckpoint.open(path);
    }

    /**
     * A site's tensors as the file has them.
     *
     * @param weight a matrix, or a vector for norms
     * @param bias or null
     * @param rows rows of weight and bias that belong to the site, in its order; null for all
     * @param transposed whether the matrix is stored [in, out]
     */
    record Stored(TensorView weight, TensorView bias, int[] rows, boolean transposed) {}
}
