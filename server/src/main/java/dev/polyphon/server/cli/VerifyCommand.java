package dev.polyphon.server.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.Devices;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.verify.Verdict;
import dev.polyphon.engine.verify.Verifier;
import dev.polyphon.engine.verify.Verifier.Mode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon verify}: holds the engine to a folder of reference vectors, ours or a user's own. */
@Command(name = "verify", mixinStandardHelpOptions = true,
        description = "Runs every case of a folder of reference vectors (bases, adapters, cases) and compares logits and greedy ids.")
public final class VerifyCommand implements Callable<Integer> {
    @Parameters(paramLabel = "DIR", description = "Folder with bases/, adapters/ and cases/.")
    private Path folder;

    @Option(names = "--only", paramLabel = "GLOB", defaultValue = "*", description = "Only cases whose names match (default: ${DEFAULT-VALUE}).")
    private String only;

    @Option(names = "--mixed", description = "Also run all cases of a base in one batch.")
    private boolean mixed;

    @Option(names = "--reloaded", description = "Also unload the adapters, load them again and run all cases in one batch.")
    private boolean reloaded;

    @Option(names = "--merged", description = "Also write each adapter that can be folded into its base as a model of its own, and run that.")
    private boolean merged;

    @Option(names = "--json", description = "Print one JSON object per case instead of a table.")
    private boolean json;

    @Option(names = "--device", paramLabel = "DEVICE", defaultValue = "cpu", description = "What computes: auto, cpu, cpu:vector, cuda or cuda:N; cuda:f32 for products in f32 (default: ${DEFAULT-VALUE}).")
    private String device;

    @Option(names = "--threads", paramLabel = "N", description = "Computing threads (default: one per processor).")
    private int threads = Runtime.getRuntime().availableProcessors();

    @Override
    public Integer call() throws IOException {
        Set<Mode> modes = EnumSet.of(Mode.ALONE);
        if (mixed) {
            modes.add(Mode.MIXED);
        }
        if (reloaded) {
            modes.add(Mode.RELOADED);
        }
        if (merged) {
            modes.add(Mode.MERGED);
        }
        if (!json) {
            System.out.printf("%-44s %-8s %12s %12s%n", "case", "mode", "error", "allowed");
        }
        List<Verdict> verdicts = new Verifier(folder, this::open)
                .run(only, modes, json ? VerifyCommand::printJson : VerifyCommand::print);
        long failed = verdicts.stream().filter(v -> !v.passed()).count();
        System.out.printf("%d passed, %d failed%n", verdicts.size() - failed, failed);
        return failed > 0 ? 1 : 0;
    }

    private Kernels open() {
        try {
            return Devices.open(device, threads);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void print(Verdict v) {
        System.out.printf("%-44s %-8s %12s %12.2e  %s%n", v.name(), v.mode(), Double.isNaN(v.error()) ? "-" : "%.2e".formatted(v.error()), v.allowed(),
                v.passed() ? "ok" : "FAILED: " + v.failure());
    }

    private static void printJson(Verdict v) {
        ObjectNode node = new ObjectMapper().createObjectNode().put("case", v.name()).put("mode", v.mode()).put("passed", v.passed())
                .put("allowed", v.allowed());
        if (!Double.isNaN(v.error())) {
            node.put("error", v.error());
        }
        if (!v.passed()) {
            node.put("failure", v.failure());
        }
        System.out.println(node);
    }
}
