package dev.polyphon.engine.model;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
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
            ModelConfig config = new ModelConfig(path, config(path, file, architecture));
            Family family = Family.of(config);
            ArchitectureSpec spec;
            try {
                spec = withFrequencyFactors(family.spec(config), path, file);
            } catch (IllegalArgumentException e) {
                throw config.error(e.getMessage());
            }
            return new GgufCheckpoint(path, file, spec, family.layout(spec), architecture.equals("llama"));
        } catch (IOException | RuntimeException e) {
            file.close();
            throw e;
        }
    }

    private static ObjectNode config(Path path, Gguf file, String architecture) throws MalformedFileException {
        ObjectNode c = JsonNodeFactory.instance.objectNode();
        String prefix = architecture + ".";
        c.put("model_type", architecture);
        c.put("hidden_size", file.integer(prefix + "embedding_length"));
        c.put("intermediate_size", file.integer(prefix + "feed_forward_length"));
        c.put("num_hidden_layers", file.integer(prefix + "block_count"));
        c.put("max_position_embeddings", file.integer(prefix + "context_length"));
        c.put("num_attention_heads", file.integer(prefix + "attention.head_count"));
        TensorView embedding = file.find("token_embd.weight")
                .orElseThrow(() -> new MalformedFileException(path, "no tensor token_embd.weight"));
        c.put("vocab_size", embedding.dim(0));
        c.put("tie_word_embeddings", file.find("output.weight").isEmpty());
        file.findInteger(prefix + "attention.head_count_kv").ifPresent(v -> c.put("num_key_value_heads", v));
        file.findInteger(prefix + "attention.key_length").ifPresent(v -> c.put("head_dim", v));
        file.findInteger(prefix + "attention.sliding_window").ifPresent(v -> c.put("sliding_window", v));
        file.findFloating(prefix + "attention.layer_norm_rms_epsilon").ifPresent(v -> c.put("rms_norm_eps", v));
        ObjectNode rope = c.putObject("rope_parameters");
        file.findFloating(prefix + "rope.freq_base").ifPresent(v -> rope.put("rope_theta", v));
        file.findString(prefix + "rope.scaling.type").filter(t -> !t.equals("none")).ifPresent(v -> rope.put("rope_type", v));
        file.findFloating(prefix + "rope.scaling.factor").ifPresent(v -> rope.put("factor", v));
        file.findInteger(prefix + "rope.scaling.original_context_length").ifPresent(v -> rope.put("original_max_position_embeddings", v));
        return c;
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
        return file.find(name + ".weight")
                .map(weight -> new Stored(weight, file.find(name + ".bias").orElse(null), rows(site.module()), false));
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
