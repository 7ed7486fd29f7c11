package dev.polyphon.measure.random;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.OutgoingTensor;
import dev.polyphon.engine.weights.SafeTensorsWriter;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A LLaMA of a given shape with weights in bf16 and no tokenizer, as a Hugging Face folder. Its matrices are one block of random numbers over and over, so
 * that making some billion takes no longer than writing them.
 *
 * @param vocabulary tokens, of which input and output have tables of their own
 */
public record RandomLlama(String name, int layers, int hidden, int intermediate, int heads, int kvHeads, int vocabulary) {
    /** The shapes of Llama 3.2 1B (with an output of its own) and Llama 2 7B. */
    public static final RandomLlama ONE = new RandomLlama("1b", 16, 2048, 8192, 32, 8, 128_256);
    public static final RandomLlama SEVEN = new RandomLlama("7b", 32, 4096, 11_008, 32, 32, 32_000);
    /** To try out what measures the others. */
    public static final RandomLlama TINY = new RandomLlama("tiny", 2, 128, 352, 4, 2, 512);

    private static final int CONTEXT = 4096;
    private static final long BLOCK = 8L << 20;

    public static RandomLlama of(String name) {
        return switch (name) {
            case "1b" -> ONE;
            case "7b" -> SEVEN;
            case "tiny" -> TINY;
            default -> throw new IllegalArgumentException("the shapes are 1b, 7b and tiny, found " + name);
        };
    }

    private int kvWidth() {
        return hidden / heads * kvHeads;
    }

    /** Parameters that every token is multiplied with. */
    public long multiplied() {
        return layers * (2L * hidden * hidden + 2L * kvWidth() * hidden + 3L * intermediate * hidden) + (long) vocabulary * hidden;
    }

    /** Makes the folder. */
    public void write(Path folder) throws IOException {
        Files.createDirectories(folder);
        Map<String, Object> config = new LinkedHashMap<>();
        config.put("model_type", "llama");
        config.put("hidden_size", hidden);
        config.put("intermediate_size", intermediate);
        config.put("num_hidden_layers", layers);
        config.put("num_attention_heads", heads);
        config.put("num_key_value_heads", kvHeads);
        config.put("max_position_embeddings", CONTEXT);
        config.put("vocab_size", vocabulary);
        config.put("rms_norm_eps", 1e-5);
        config.put("rope_theta", 10_000.0);
        config.put("hidden_act", "silu");
        config.put("tie_word_embeddings", false);
        Files.write(folder.resolve("config.json"), new ObjectMapper().writeValueAsBytes(config));
        try (Arena arena = Arena.ofConfined()) {
            SafeTensorsWriter writer = new SafeTensorsWriter();
            MemorySegment random = RandomTensor.of(arena, "random", DType.BF16, 1, 1, BLOCK / 2 / hidden, hidden).data();
            MemorySegment ones = arena.allocate(2L * hidden);
            for (int i = 0; i < hidden; i++) {
                ones.set(java.lang.foreign.ValueLayout.JAVA_SHORT, 2L * i, (short) 0x3f80);
            }
            add(writer, "model.embed_tokens.weight", random, vocabulary, hidden);
            add(writer, "lm_head.weight", random, vocabulary, hidden);
            add(writer, "model.norm.weight", ones, hidden);
            for (int i = 0; i < layers; i++) {
                String layer = "model.layers." + i + ".";
                add(writer, layer + "input_layernorm.weight", ones, hidden);
                add(writer, layer + "post_attention_layernorm.weight", ones, hidden);
                add(writer, layer + "self_attn.q_proj.weight", random, hidden, hidden);
                add(writer, layer + "self_attn.k_proj.weight", random, kvWidth(), hidden);
                add(writer, layer + "self_attn.v_proj.weight", random, kvWidth(), hidden);
                add(writer, layer + "self_attn.o_proj.weight", random, hidden, hidden);
                add(writer, layer + "mlp.gate_proj.weight", random, intermediate, hidden);
                add(writer, layer + "mlp.up_proj.weight", random, intermediate, hidden);
                add(writer, layer + "mlp.down_proj.weight", random, hidden, intermediate);
            }
            writer.write(folder.resolve("model.safetensors"));
        }
    }

    private static void add(SafeTensorsWriter writer, String name, MemorySegment block, long... shape) {
        writer.add(new OutgoingTensor(name, DType.BF16, shape, channel -> {
            long bytes = 2;
            for (long dimension : shape) {
                bytes *= dimension;
            }
            for (long at = 0; at < bytes; at += block.byteSize()) {
                OutgoingTensor.write(channel, block.asSlice(0, Math.min(block.byteSize(), bytes - at)));
            }
        }));
    }
}
