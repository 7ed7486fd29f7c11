package dev.polyphon.engine.model;

import dev.polyphon.engine.model.Layout.Place;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.Gguf;
import dev.polyphon.engine.weights.MalformedFileException;
import dev.polyphon.engine.weights.TensorView;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * A GGUF file. Its metadata are turned into the {@code config.json} that they were made from, so that each family is described once; modules are in
 * Hugging Face's order of rows after loading, so that adapters need not know where the base came from.
 */
final class GgufCheckpoint implements Checkpoint {
    private final Path path;
    private final Gguf file;
    private final ArchitectureSpec spec;
    private final Layout layout;
    private final boolean permuted;

    private GgufCheckpoint(Path path, Gguf file, ArchitectureSpec spec, Layout layout, boolean permuted) {
        this.path = path;
        this.file = file;
        this.spec = spec;
        this.layout = layout;
        this.permuted = permuted;
    }

    static GgufCheckpoint open(Path path) throws IOException {
        Gguf file = Gguf.open(path);
        try {
            String architecture = file.string("general.architecture");
            ModelConfig config = new ModelConfig(path, new GgufConfig(path, file, architecture).json());
            Family family = Family.of(config);
            ArchitectureSpec spec;
            try {
                // Norm weights are stored as they are multiplied with, whatever the family's other checkpoints do.
                spec = withFrequencyFactors(family.spec(config), path, file).withNormOffset(0);
            } catch (IllegalArgumentException e) {
                throw config.error(e.getMessage());
            }
            return new GgufCheckpoint(path, file, spec, family.layout(spec), architecture.equals("llama"));
        } catch (IOException | RuntimeException e) {
            file.close();
            throw e;
        }
    }

    /** Llama 3's scaling is stored as one divisor per frequency. */
    private static ArchitectureSpec withFrequencyFactors(ArchitectureSpec spec, Path path, Gguf file) throws MalformedFileException {
        Optional<TensorView> factors = file.find("rope_freqs.weight");
        if (factors.isEmpty()) {
            return spec;
        }
        float[] divisors = Floats.all(factors.get());
        RotarySpec rotary = spec.rotaries().getFirst();
        float[] frequencies = rotary.inverseFrequencies().clone();
        if (divisors.length != frequencies.length) {
            throw new MalformedFileException(path, "tensor rope_freqs.weight has " + divisors.length + " elements, expected "
                    + frequencies.length);
        }
        for (int i = 0; i < divisors.length; i++) {
            frequencies[i] /= divisors[i];
        }
        return spec.withRotaries(List.of(new RotarySpec(frequencies, rotary.magnitude(), rotary.interleaved())));
    }

    @Override
    public Path source() {
        return path;
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
    public Gguf file() {
        return file;
    }

    @Override
    public Optional<Stored> stored(Site site) {
        Optional<Place> place = layout.place(site.module());
        if (place.isEmpty()) {
            return Optional.empty();
        }
        String name = site.layer() < 0 ? name(site.module()) : "blk." + site.layer() + "." + name(site.module());
        if (site.expert() >= 0) {
            return file.find(name + "_exps.weight")
                    .filter(all -> all.rank() == 3 && site.expert() < all.shape()[0])
                    .map(all -> all.slice(site.expert()))
                    .or(() -> file.find(name + "." + site.expert() + ".weight"))
                    .map(weight -> new Stored(weight, null, null, false));
        }
        Fused fused = fused(site.module());
        if (fused != null && file.find("blk." + site.layer() + "." + fused.name + ".weight").isPresent()
                && (fused.module == site.module() || file.find(name + ".weight").isEmpty())) {
            return whole("blk." + site.layer() + "." + fused.name, FusedRows.range(fused.first, spec.out(site.module())));
        }
        return whole(name, rows(site.module()));
    }

    private Optional<Stored> whole(String name, int[] rows) {
        return file.find(name + ".weight").map(weight -> new Stored(weight, file.find(name + ".bias").orElse(null), rows, false));
    }

    /**
     * The matrix that some architectures keep a module in.
     *
     * @param first of its rows that is the module's
     * @param module whose own name the matrix has, or null
     */
    private record Fused(String name, int first, Module module) {}

    private Fused fused(Module module) {
        return switch (module) {
            case Q -> new Fused("attn_qkv", 0, null);
            case K -> new Fused("attn_qkv", spec.queryWidth(), null);
            case V -> new Fused("attn_qkv", spec.queryWidth() + spec.kvWidth(), null);
            case GATE -> spec.experts() == null ? new Fused("ffn_up", 0, null) : null;
            // A gated MLP without a gate of its own: gate and up together.
            case UP -> spec.gated() && spec.experts() == null && file.find("blk.0.ffn_gate.weight").isEmpty()
                    ? new Fused("ffn_up", spec.intermediate(), Module.UP)
                    : null;
            default -> null;
        };
    }

    private static String name(Module module) {
        return switch (module) {
            case EMBED -> "token_embd";
            case POSITIONS -> "position_embd";
            case EMBED_NORM -> "token_embd_norm";
            case ATTENTION_NORM -> "attn_norm";
            case Q -> "attn_q";
            case K -> "attn_k";
            case V -> "attn_v";
            case O -> "attn_output";
            case Q_NORM -> "attn_q_norm";
            case K_NORM -> "attn_k_norm";
            case POST_ATTENTION_NORM -> "post_attention_norm";
            case MLP_NORM -> "ffn_norm";
            case ROUTER -> "ffn_gate_inp";
            case GATE -> "ffn_gate";
            case UP -> "ffn_up";
            case DOWN -> "ffn_down";
            case POST_MLP_NORM -> "post_ffw_norm";
            case BLOCK -> throw new IllegalArgumentException("no weights are stored for " + module);
            case FINAL_NORM -> "output_norm";
            case HEAD -> "output";
        };
    }

    /**
     * llama.cpp's converter reorders the rows of LLaMA's query and key heads so that rotated pairs are neighbours: column {@code i} of the first half
     * goes to {@code 2i}, of the second half to {@code 2i + 1}. This is the way back.
     */
    private int[] rows(Module module) {
        if (!permuted || module != Module.Q && module != Module.K) {
            return null;
        }
        int half = spec.headDim() / 2;
        int[] rows = new int[spec.out(module)];
        for (int r = 0; r < rows.length; r++) {
            int column = r % spec.headDim();
            rows[r] = r - column + 2 * (column % half) + column / half;
        }
        return rows;
    }

    @Override
    public void close() {
        file.close();
    }
}
