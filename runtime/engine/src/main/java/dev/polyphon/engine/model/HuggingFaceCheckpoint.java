package dev.polyphon.engine.model;

import dev.polyphon.engine.weights.SafeTensors;
import dev.polyphon.engine.weights.TensorFile;
import dev.polyphon.engine.weights.TensorView;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;

/** A folder with {@code config.json} and safetensors. */
final class HuggingFaceCheckpoint implements Checkpoint {
    private final Path folder;
    private final ArchitectureSpec spec;
    private final Layout layout;
    private final TensorFile tensors;

    private HuggingFaceCheckpoint(Path folder, ArchitectureSpec spec, Layout layout, TensorFile tensors) {
        this.folder = folder;
        this.spec = spec;
        this.layout = layout;
        this.tensors = tensors;
    }

    static HuggingFaceCheckpoint open(Path folder) throws IOException {
        ModelConfig config = ModelConfig.read(folder.resolve("config.json"));
        Family family = Family.of(config);
        ArchitectureSpec spec;
        try {
            spec = family.spec(config);
        } catch (IllegalArgumentException e) {
            throw config.error(e.getMessage());
        }
        return new HuggingFaceCheckpoint(folder, spec, family.layout(spec), SafeTensors.open(folder));
    }

    @Override
    public Path source() {
        return folder;
    }

    @Override
    public ArchitectureSpec spec() {
        return spec;
    }

    @Override
    public Layout layout() {
        return layout;
    }

    @Override
    public TensorFile file() {
        return tensors;
    }

    @Override
    public Optional<Stored> stored(Site site) {
        return layout.place(site.module()).flatMap(place -> {
            String path = place.path(site);
            return find(path + ".weight")
                    .map(weight -> new Stored(weight, find(path + ".bias").orElse(null), place.rows(), place.transposed()));
        });
    }

    /** Checkpoints saved from the bare decoder lack the language model's prefix. */
    private Optional<TensorView> find(String name) {
        Optional<TensorView> found = tensors.find(name);
        int dot = name.indexOf('.');
        return found.isPresent() || dot < 0 ? found : tensors.find(name.substring(dot + 1));
    }

    @Override
    public void close() {
        tensors.close();
    }
}
