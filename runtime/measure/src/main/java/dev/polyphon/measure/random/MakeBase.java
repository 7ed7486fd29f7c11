package dev.polyphon.measure.random;

import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.Gguf;
import dev.polyphon.engine.weights.GgufWriter;
import dev.polyphon.engine.weights.OutgoingTensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon measure base}. */
@Command(name = "base", mixinStandardHelpOptions = true, sortOptions = false,
        description = "Makes a LLaMA of random weights as GGUF; its tokenizer and its context come from another GGUF file. By default it has a billion parameters.")
public final class MakeBase implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "FROM", description = "A GGUF file of the LLaMA family.")
    private Path from;

    @Parameters(index = "1", paramLabel = "TO", description = "The file to make.")
    private Path to;

    @Option(names = "--type", paramLabel = "TYPE", description = "Of its matrices: Q8_0, Q4_0, Q4_1, Q4_K, BF16, F16, F32 (default: ${DEFAULT-VALUE}).")
    private DType type = DType.Q8_0;

    @Option(names = "--layers", paramLabel = "N", description = "Default: ${DEFAULT-VALUE}.")
    private int layers = 16;

    @Option(names = "--hidden", paramLabel = "N", description = "Default: ${DEFAULT-VALUE}.")
    private int hidden = 2048;

    @Option(names = "--intermediate", paramLabel = "N", description = "Default: ${DEFAULT-VALUE}.")
    private int intermediate = 8192;

    @Option(names = "--heads", paramLabel = "N", description = "Default: ${DEFAULT-VALUE}.")
    private int heads = 32;

    @Option(names = "--kv-heads", paramLabel = "N", description = "Default: ${DEFAULT-VALUE}.")
    private int kvHeads = 8;

    private final GgufWriter writer = new GgufWriter();
    private long seed;

    @Override
    public Integer call() throws IOException {
        try (Gguf source = Gguf.open(from)) {
            if (!source.string("general.architecture").equals("llama")) {
                throw new IllegalArgumentException(from + " is of the family " + source.string("general.architecture") + ", not llama");
            }
            int headDim = hidden / heads;
            writer.metadataOf(source).integer("llama.block_count", layers).integer("llama.embedding_length", hidden)
                    .integer("llama.feed_forward_length", intermediate).integer("llama.attention.head_count", heads)
                    .integer("llama.attention.head_count_kv", kvHeads).integer("llama.rope.dimension_count", headDim);
            matrix("token_embd", source.strings("tokenizer.ggml.tokens").size(), hidden);
            norm("output_norm");
            for (int i = 0; i < layers; i++) {
                String layer = "blk." + i + ".";
                norm(layer + "attn_norm");
                matrix(layer + "attn_q", hidden, hidden);
                matrix(layer + "attn_k", kvHeads * headDim, hidden);
                matrix(layer + "attn_v", kvHeads * headDim, hidden);
                matrix(layer + "attn_output", hidden, hidden);
                norm(layer + "ffn_norm");
                matrix(layer + "ffn_gate", intermediate, hidden);
                matrix(layer + "ffn_up", intermediate, hidden);
                matrix(layer + "ffn_down", hidden, intermediate);
            }
            writer.write(to);
        }
        return 0;
    }

    private void matrix(String name, int out, int in) {
        long own = seed++;
        writer.add(new OutgoingTensor(name + ".weight", type, new long[] {out, in}, channel -> {
            try (Arena arena = Arena.ofConfined()) {
                OutgoingTensor.write(channel, RandomTensor.of(arena, name, type, 1, own, out, in).data());
            }
        }));
    }

    private void norm(String name) {
        writer.add(new OutgoingTensor(name + ".weight", DType.F32, new long[] {hidden}, channel -> {
            ByteBuffer ones = ByteBuffer.allocate(4 * hidden).order(ByteOrder.LITTLE_ENDIAN);
            float[] values = new float[hidden];
            Arrays.fill(values, 1);
            ones.asFloatBuffer().put(values);
            while (ones.hasRemaining()) {
                channel.write(ones);
            }
        }));
    }
}
