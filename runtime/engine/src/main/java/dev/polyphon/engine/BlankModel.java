package dev.polyphon.engine;

import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.GgufWriter;
import dev.polyphon.engine.weights.OutgoingTensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;

/** A LLaMA of one layer that knows the printable characters of ASCII and nothing about them, as all its weights are zero: enough to try a server out. */
public final class BlankModel {
    private static final int WIDTH = 64;
    private static final int CONTEXT = 256;

    private BlankModel() {}

    /** Writes it as a GGUF file. */
    public static void write(Path file) throws IOException {
        // U+0120 is the space in the alphabet of byte-level vocabularies.
        List<String> tokens = IntStream.concat(IntStream.of(0x120), IntStream.rangeClosed('!', '~')).mapToObj(Character::toString).toList();
        GgufWriter writer = new GgufWriter()
                .string("general.architecture", "llama")
                .integer("llama.block_count", 1)
                .integer("llama.context_length", CONTEXT)
                .integer("llama.embedding_length", WIDTH)
                .integer("llama.feed_forward_length", WIDTH)
                .integer("llama.attention.head_count", 1)
                .floating("llama.attention.layer_norm_rms_epsilon", 1e-5f)
                .string("tokenizer.ggml.model", "gpt2")
                .strings("tokenizer.ggml.tokens", tokens)
                .strings("tokenizer.ggml.merges", List.of())
                .string("tokenizer.chat_template", "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}{% endfor %}");
        matrix(writer, "token_embd", tokens.size());
        for (String matrix : List.of("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")) {
            matrix(writer, "blk.0." + matrix, WIDTH);
        }
        for (String norm : List.of("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm")) {
            zeros(writer, norm, DType.F32, WIDTH);
        }
        writer.write(file);
    }

    private static void matrix(GgufWriter writer, String name, int out) {
        zeros(writer, name, DType.Q8_0, out, WIDTH);
    }

    private static void zeros(GgufWriter writer, String name, DType type, long... shape) {
        long elements = 1;
        for (long dimension : shape) {
            elements *= dimension;
        }
        byte[] bytes = new byte[Math.toIntExact(type.bytes(elements))];
        writer.add(new OutgoingTensor(name + ".weight", type, shape, channel -> OutgoingTensor.write(channel, MemorySegment.ofArray(bytes))));
    }
}
