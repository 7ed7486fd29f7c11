package dev.polyphon.measure.gpu;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.Devices;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.verify.Verdict;
import dev.polyphon.engine.verify.Verifier;
import dev.polyphon.engine.verify.Verifier.Mode;
import dev.polyphon.measure.random.RandomLlama;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code polyphon measure gpu}: holds a GPU to the reference vectors, and its speed to its own limits. */
@Command(name = "gpu", mixinStandardHelpOptions = true, sortOptions = false,
        description = "Checks a GPU against the reference vectors, in f32 and bf16, and sets its speed beside limits that others measured on it.")
public final class GpuTable implements Callable<Integer> {
    private static final long GOLDEN_MEMORY = 2L << 30;

    @Option(names = "--device", paramLabel = "DEVICE", description = "cuda, cuda:N, or cpu to try this out (default: ${DEFAULT-VALUE}).")
    private String device = "cuda";

    @Option(names = "--golden", paramLabel = "DIR", description = "The reference vectors; without, they are left out.")
    private Path golden;

    @Option(names = "--only", paramLabel = "GLOB", description = "Only cases whose names match (default: ${DEFAULT-VALUE}).")
    private String only = "*";

    @Option(names = "--reference", paramLabel = "FILE", description = "What reference.py measured on the same machine.")
    private Path reference;

    @Option(names = "--shapes", paramLabel = "NAME", split = ",", description = "Shapes of LLaMA to time: 1b, 7b, tiny (default: 1b,7b).")
    private List<String> shapes = List.of("1b", "7b");

    @Option(names = "--seconds", paramLabel = "S", description = "Time for each measurement (default: ${DEFAULT-VALUE}).")
    private double seconds = 1.5;

    @Option(names = "--folder", paramLabel = "DIR", description = "Where to put random models for a while (default: the system's temporary folder).")
    private Path folder = Path.of(System.getProperty("java.io.tmpdir"));

    @Option(names = "--json", paramLabel = "FILE", description = "Where to write all that was measured.")
    private Path json;

    @Override
    public Integer call() throws IOException {
        Figures figures = new Figures(json);
        JsonNode limits = reference == null ? new ObjectMapper().createObjectNode() : new ObjectMapper().readTree(Files.readAllBytes(reference));
        try (Kernels kernels = Devices.open(device, 0)) {
            System.out.println("device: " + kernels.describe());
            figures.note("device", kernels.describe());
        }
        limits.fields().forEachRemaining(field -> System.out.println("  " + field.getKey() + ": " + field.getValue()));
        int failed = 0;
        if (golden != null) {
            failed += verify(figures, "f32", 0);
            failed += verify(figures, "bf16", Verifier.BF16);
        }
        figures.heading();
        for (String shape : shapes) {
            new ShapeFigures(RandomLlama.of(shape), () -> open("bf16", 0), limits, figures, seconds).measure(folder);
        }
        System.out.printf("%d cases failed, %d goals missed%n", failed, figures.missed());
        return failed > 0 ? 1 : 0;
    }

    private Kernels open(String precision, long memory) {
        try {
            return device.startsWith("cuda") ? Devices.cuda(device + ":" + precision, memory) : Devices.open(device, 0);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private int verify(Figures figures, String precision, double rounding) throws IOException {
        long start = System.nanoTime();
        List<Verdict> verdicts = new Verifier(golden, () -> open(precision, GOLDEN_MEMORY), rounding).run(only, EnumSet.of(Mode.ALONE, Mode.MIXED), v -> {
            if (!v.passed()) {
                System.out.println("FAILED in " + precision + ": " + v.name() + ", " + v.mode() + ": " + v.failure());
            }
        });
        int failed = (int) verdicts.stream().filter(v -> !v.passed()).count();
        String outcome = String.format(Locale.ROOT, "%d passed, %d failed, worst error %.3f of what is allowed, %.1f s", verdicts.size() - failed, failed,
                verdicts.stream().filter(Verdict::passed).mapToDouble(v -> v.error() / v.allowed()).max().orElse(Double.NaN), (System.nanoTime() - start) * 1e-9);
        System.out.println("reference vectors in " + precision + ": " + outcome);
        figures.note("vectors in " + precision, outcome);
        return failed;
    }
}
