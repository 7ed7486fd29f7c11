package dev.polyphon.measure.random;

import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.weights.DType;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon measure adapters}. */
@Command(name = "adapters", description = "Makes folders a00, a01, ... with random adapters for a base.", mixinStandardHelpOptions = true, sortOptions = false)
public final class MakeAdapters implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "BASE", description = "A GGUF file or a Hugging Face folder.")
    private Path base;

    @Parameters(index = "1", paramLabel = "DIR", description = "Where to make them.")
    private Path folder;

    @Option(names = "--count", paramLabel = "N", description = "How many (default: ${DEFAULT-VALUE}).")
    private int count = 16;

    @Option(names = "--family", paramLabel = "NAME", description = "Their family: lora, dora, ia3, ... (default: ${DEFAULT-VALUE}).")
    private String family = "lora";

    @Option(names = "--rank", paramLabel = "R", description = "Their rank (default: ${DEFAULT-VALUE}).")
    private int rank = 16;

    @Option(names = "--type", paramLabel = "TYPE", description = "How their matrices are stored: F32, F16 or BF16 (default: ${DEFAULT-VALUE}).")
    private DType type = DType.F16;

    @Override
    public Integer call() throws IOException {
        write(base, folder, count, AdapterFamily.valueOf(family.toUpperCase(Locale.ROOT).replace('-', '_')), rank, type);
        return 0;
    }

    /** Makes random adapters, each from a seed of its own. */
    public static void write(Path base, Path folder, int count, AdapterFamily family, int rank, DType type) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            for (int i = 0; i < count; i++) {
                family.write(folder.resolve(String.format(Locale.ROOT, "a%02d", i)), checkpoint, rank, type, i);
            }
        }
    }
}
