package dev.polyphon.engine.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.GgufBuilder;
import dev.polyphon.engine.weights.SafeTensors;
import dev.polyphon.engine.weights.TensorFile;
import dev.polyphon.engine.weights.TensorView;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Writes the tiny bases of the reference vectors as llama.cpp's {@code convert_hf_to_gguf.py} does: its names, its order of rows, its metadata. */
public final class GoldenGguf {
    /** Parts of Hugging Face's names, the first that fits; {@code convert_hf_to_gguf.py} has these in {@code tensor_mapping.py}. */
    private static final List<Map.Entry<String, String>> NAMES = List.of(
            Map.entry("model.embed_tokens|transformer.wte|transformer.word_embeddings|gpt_neox.embed_in", "token_embd"),
            Map.entry("transformer.word_embeddings_layernorm", "token_embd_norm"),
            Map.entry("transformer.wpe", "position_embd"),
            Map.entry("model.norm|transformer.ln_f|gpt_neox.final_layer_norm", "output_norm"),
            Map.entry("lm_head|embed_out", "output"));
    private static final List<Map.Entry<String, String>> LAYER_NAMES = List.of(
            Map.entry("input_layernorm|ln_1", "attn_norm"),
            Map.entry("self_attn.q_proj", "attn_q"),
            Map.entry("self_attn.k_proj", "attn_k"),
            Map.entry("self_attn.v_proj", "attn_v"),
            Map.entry("self_attn.q_norm", "attn_q_norm"),
            Map.entry("self_attn.k_norm", "attn_k_norm"),
            Map.entry("attn.c_attn|self_attention.query_key_value|attention.query_key_value|self_attn.qkv_proj", "attn_qkv"),
            Map.entry("self_attn.o_proj|attn.c_proj|self_attention.dense|attention.dense", "attn_output"),
            Map.entry("pre_feedforward_layernorm|ln_2", "ffn_norm"),
            Map.entry("post_feedforward_layernorm", "post_ffw_norm"),
            Map.entry("block_sparse_moe.gate", "ffn_gate_inp"),
            Map.entry("mlp.gate_proj", "ffn_gate"),
            Map.entry("mlp.up_proj|mlp.c_fc|mlp.dense_h_to_4h|mlp.gate_up_proj", "ffn_up"),
            Map.entry("mlp.down_proj|mlp.c_proj|mlp.dense_4h_to_h", "ffn_down"));
    private static final Pattern LAYER = Pattern.compile("(?:model\\.layers|transformer\\.h|gpt_neox\\.layers)\\.(\\d+)\\.(.*)\\.(weight|bias)");
    private static final Pattern EXPERT = Pattern.compile("model\\.layers\\.(\\d+)\\.block_sparse_moe\\.experts\\.(\\d+)\\.w(\\d)\\.weight");

    private final JsonNode config;
    private final String architecture;
    private final GgufBuilder file = new GgufBuilder();
    private final int heads;
    private final int headDim;

    private GoldenGguf(JsonNode config) {
        this.config = config;
        architecture = switch (config.path("model_type").asText()) {
            case "gpt_neox" -> "gptneox";
            case "gemma3_text" -> "gemma3";
            case "mistral", "mixtral" -> "llama";
            case String type -> type;
        };
        heads = number("num_attention_heads", "n_head");
        headDim = config.path("head_dim").asInt(number("hidden_size", "n_embd") / heads);
    }

    public static Path write(Path base, Path to) throws IOException {
        GoldenGguf gguf = new GoldenGguf(new ObjectMapper().readTree(Files.readAllBytes(base.resolve("config.json"))));
        gguf.metadata();
        try (TensorFile tensors = SafeTensors.open(base)) {
            for (TensorView tensor : tensors.tensors()) {
                gguf.tensor(tensor, tensors);
            }
        }
        return gguf.file.write(to);
    }

    private int number(String... names) {
        for (String name : names) {
            if (config.path(name).isNumber()) {
                return config.path(name).intValue();
            }
        }
        return 0;
    }

    private void metadata() {
        int hidden = number("hidden_size", "n_embd");
        int inner = number("intermediate_size", "n_inner");
        file.metadata("general.architecture", architecture);
        put("embedding_length", hidden);
        put("feed_forward_length", inner == 0 ? 4 * hidden : inner);
        put("block_count", number("num_hidden_layers", "n_layer"));
        put("context_length", Math.max(number("max_position_embeddings", "n_positions", "seq_length"), 64));
        put("attention.head_count", heads);
        put("attention.head_count_kv", Math.max(number("num_key_value_heads"), 0) == 0 ? heads : number("num_key_value_heads"));
        if (config.path("head_dim").isNumber()) {
            put("attention.key_length", headDim);
            put("attention.value_length", headDim);
        }
        // Mistral's and StarCoder2's windows are left out.
        if (config.path("sliding_window").isNumber() && architecture.startsWith("gemma")) {
            put("attention.sliding_window", number("sliding_window"));
        }
        for (Map.Entry<String, String> name : Map.of("rms_norm_eps", "attention.layer_norm_rms_epsilon", "layer_norm_eps", "attention.layer_norm_epsilon",
                "layer_norm_epsilon", "attention.layer_norm_epsilon", "norm_epsilon", "attention.layer_norm_epsilon",
                "attn_logit_softcapping", "attn_logit_softcapping", "final_logit_softcapping", "final_logit_softcapping").entrySet()) {
            if (config.path(name.getKey()).isNumber()) {
                put(name.getValue(), config.path(name.getKey()).floatValue());
            }
        }
        if (config.has("num_local_experts")) {
            put("expert_count", number("num_local_experts"));
            put("expert_used_count", number("num_experts_per_tok"));
        }
        JsonNode rope = config.has("rope_parameters") ? config.path("rope_parameters") : config;
        JsonNode theta = rope.path("full_attention").path("rope_theta").isNumber() ? rope.path("full_attention").path("rope_theta") : rope.path("rope_theta");
        if (theta.isNumber()) {
            put("rope.freq_base", theta.floatValue());
        }
        if (rope.path("partial_rotary_factor").isNumber()) {
            put("rope.dimension_count", (int) (headDim * rope.path("partial_rotary_factor").doubleValue()));
        }
        JsonNode scaling = config.path("rope_scaling");
        if (scaling.has("long_factor")) {
            int original = number("original_max_position_embeddings");
            double factor = (double) number("max_position_embeddings") / original;
            put("rope.scaling.original_context_length", original);
            put("rope.scaling.attn_factor", (float) (factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original))));
            for (String length : List.of("long", "short")) {
                JsonNode factors = scaling.path(length + "_factor");
                float[] values = new float[factors.size()];
                for (int i = 0; i < values.length; i++) {
                    values[i] = factors.get(i).floatValue();
                }
                file.f32("rope_factors_" + length + ".weight", new long[] {values.length}, values);
            }
        }
        if (architecture.equals("gptneox")) {
            put("use_parallel_residual", config.path("use_parallel_residual").asBoolean());
        }
    }

    private void put(String key, Object value) {
        file.metadata(architecture + "." + key, value);
    }

    private void tensor(TensorView tensor, TensorFile all) {
        Matcher expert = EXPERT.matcher(tensor.name());
        if (expert.matches()) {
            if (expert.group(2).equals("0")) {
                experts(expert.group(1), expert.group(3), tensor, all);
            }
            return;
        }
        String name = name(tensor.name());
        float[] values = Floats.all(tensor);
        long[] shape = tensor.shape();
        if (architecture.equals("gpt2") && tensor.rank() == 2 && name.startsWith("blk.")) {
            values = transposed(values, tensor.dim(0), tensor.dim(1));
            shape = new long[] {shape[1], shape[0]};
        }
        if (architecture.startsWith("gemma") && name.contains("norm")) {
            for (int i = 0; i < values.length; i++) {
                values[i] += 1;
            }
        }
        int width = values.length / (int) shape[0];
        if (architecture.equals("llama") && name.contains("attn_q.")) {
            values = rotatedPairsTogether(values, heads, width);
        } else if (architecture.equals("llama") && name.contains("attn_k.")) {
            values = rotatedPairsTogether(values, Math.max(1, number("num_key_value_heads")), width);
        } else if (name.contains("attn_qkv") && (architecture.equals("bloom") || architecture.equals("gptneox"))) {
            values = queriesThenKeysThenValues(values, width);
        }
        file.f32(name, shape, values);
    }

    private void experts(String layer, String matrix, TensorView first, TensorFile all) {
        int count = number("num_local_experts");
        int size = Math.toIntExact(first.elements());
        float[] stacked = new float[count * size];
        for (int e = 0; e < count; e++) {
            TensorView one = all.find(first.name().replace("experts.0.", "experts." + e + ".")).orElseThrow();
            System.arraycopy(Floats.all(one), 0, stacked, e * size, size);
        }
        String name = Map.of("1", "ffn_gate_exps", "2", "ffn_down_exps", "3", "ffn_up_exps").get(matrix);
        file.f32("blk." + layer + "." + name + ".weight", new long[] {count, first.dim(0), first.dim(1)}, stacked);
    }

    private String name(String name) {
        Matcher layer = LAYER.matcher(name);
        if (!layer.matches()) {
            int dot = name.lastIndexOf('.');
            return find(NAMES, name.substring(0, dot)) + name.substring(dot);
        }
        String module = layer.group(2);
        boolean sandwich = architecture.startsWith("gemma");
        String found = module.equals("post_attention_layernorm") ? sandwich ? "post_attention_norm" : "ffn_norm" : find(LAYER_NAMES, module);
        return "blk." + layer.group(1) + "." + found + "." + layer.group(3);
    }

    private static String find(List<Map.Entry<String, String>> names, String name) {
        List<String> found = new ArrayList<>();
        for (Map.Entry<String, String> entry : names) {
            if (List.of(entry.getKey().split("\\|")).contains(name)) {
                found.add(entry.getValue());
            }
        }
        if (found.size() != 1) {
            throw new IllegalArgumentException(name + " is " + found);
        }
        return found.getFirst();
    }

    private static float[] transposed(float[] values, int rows, int columns) {
        float[] transposed = new float[values.length];
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < columns; c++) {
                transposed[c * rows + r] = values[r * columns + c];
            }
        }
        return transposed;
    }

    /** {@code LlamaModel.permute}: of each head, row i of the first half before row i of the second. */
    private static float[] rotatedPairsTogether(float[] values, int heads, int width) {
        int dim = values.length / width / heads;
        float[] permuted = new float[values.length];
        for (int r = 0; r < values.length / width; r++) {
            int column = r % dim;
            int to = r - column + 2 * (column % (dim / 2)) + column / (dim / 2);
            System.arraycopy(values, r * width, permuted, to * width, width);
        }
        return permuted;
    }

    /** From query, key and value of each head in turn to all queries, all keys, all values. */
    private float[] queriesThenKeysThenValues(float[] values, int width) {
        int dim = values.length / width / heads / 3;
        float[] sorted = new float[values.length];
        for (int r = 0; r < values.length / width; r++) {
            int head = r / (3 * dim);
            int part = r / dim % 3;
            System.arraycopy(values, r * width, sorted, (part * heads * dim + head * dim + r % dim) * width, width);
        }
        return sorted;
    }
}
