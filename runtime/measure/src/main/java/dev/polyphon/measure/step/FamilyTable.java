package dev.polyphon.measure.step;

import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.measure.random.AdapterFamily;
import dev.polyphon.measure.random.Temporary;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon measure families}. */
@Command(name = "families", mixinStandardHelpOptions = true, sortOptions = false,
        description = {"What an adapter of each family adds to the time of a step, steps with and without it taking turns.",
            "With --among-others, what one row of it adds to a step of 15 others."})
public final class FamilyTable implements Callable<Integer> {
    private static final int[] RANKS = {8, 16, 32, 64};
    private static final int POSITION = 128;
    private static final int OTHERS_WITH_LORA = Rig.MOST_SEQUENCES / 2;
    private static final int PLACE = 7;
    /** What 16 of a family may take; of those that need more, one serves all rows. */
    private static final long MOST_BYTES = 4L << 30;

    @Parameters(index = "0", paramLabel = "MODEL", description = "A GGUF file or a Hugging Face folder.")
    private Path model;

    @Parameters(index = "1..*", arity = "0..*", paramLabel = "FAMILY", description = "lora, dora, ia3, ...; without, all.")
    private List<String> names = List.of();

    @Option(names = "--device", paramLabel = "DEVICE", description = "cpu or cpu:vector (default: ${DEFAULT-VALUE}).")
    private String device = "cpu";

    @Option(names = "--threads", paramLabel = "N", description = "Computing threads (default: one per processor).")
    private int threads;

    @Option(names = "--steps", paramLabel = "N", description = "Steps to take the median of (default: ${DEFAULT-VALUE}).")
    private int steps = 15;

    @Option(names = "--among-others", description = "One row of each family among 8 with a LoRA of rank 16 each and 7 of the base, against the same step with that row on the base.")
    private boolean amongOthers;

    @Override
    public Integer call() throws IOException {
        try (Rig rig = new Rig(model, device, threads)) {
            for (int i = 0; i < 4 * steps; i++) {
                rig.run(rig.decode(1, POSITION, List.of()));
                rig.run(rig.decode(16, POSITION, List.of()));
            }
            if (amongOthers) {
                among(rig);
                return 0;
            }
            System.out.printf("| %-22s | %8s | %8s | %16s | %17s |%n", "family", "MiB", "1 row, %", "16 rows of one, %", "16 rows of 16, %");
            System.out.println("|" + "---|".repeat(5));
            for (AdapterFamily family : AdapterFamily.values()) {
                if (!names.isEmpty() && !names.contains(family.title())) {
                    continue;
                }
                boolean everyRank = family == AdapterFamily.LORA || family == AdapterFamily.DORA;
                for (int rank : everyRank ? RANKS : new int[] {16}) {
                    row(rig, family, rank);
                }
            }
        }
        return 0;
    }

    private void among(Rig rig) throws IOException {
        System.out.printf("| %-22s | %14s | %21s | %13s |%n", "family", "16 rows, ms", "one of it adds, ms", "alone, ms");
        System.out.println("|" + "---|".repeat(4));
        List<LoadedAdapter> others = new ArrayList<>();
        try (Temporary folder = new Temporary()) {
            for (int i = 0; i < OTHERS_WITH_LORA; i++) {
                Path other = folder.path().resolve("other" + i);
                AdapterFamily.LORA.write(other, rig.checkpoint(), 16, DType.F16, i);
                others.add(rig.adapter(other, null));
            }
            for (AdapterFamily family : AdapterFamily.values()) {
                if (names.isEmpty() || names.contains(family.title())) {
                    Path path = folder.path().resolve(family.title());
                    family.write(path, rig.checkpoint(), 16, DType.F16, 1);
                    try (LoadedAdapter adapter = rig.adapter(path, family.task())) {
                        among(rig, family, adapter, others);
                    }
                }
            }
        } finally {
            others.forEach(LoadedAdapter::close);
        }
    }

    private void among(Rig rig, AdapterFamily family, LoadedAdapter adapter, List<LoadedAdapter> others) {
        List<LoadedAdapter> rows = new ArrayList<>();
        for (int i = 0; i < Rig.MOST_SEQUENCES; i++) {
            rows.add(i % 2 == 0 ? others.get(i / 2) : null);
        }
        Rig.Load without = rig.decodeEach(POSITION, rows);
        // Between two of the others.
        rows.set(PLACE, adapter);
        double[] together = millis(rig, rig.decodeEach(POSITION, rows), without);
        double[] alone = millis(rig, rig.decode(1, POSITION, List.of(adapter)), rig.decode(1, POSITION, List.of()));
        System.out.printf(Locale.ROOT, "| %-22s | %14.2f | %+21.2f | %+13.2f |%n", family.title() + (family.ranked() ? ", rank 16" : ""), together[1],
                together[0] - together[1], alone[0] - alone[1]);
    }

    /** Medians with and without, taking turns. */
    private double[] millis(Rig rig, Rig.Load with, Rig.Load without) {
        for (int i = 0; i < 5; i++) {
            rig.run(with);
        }
        long[] times = new long[steps];
        long[] base = new long[steps];
        for (int i = 0; i < steps; i++) {
            base[i] = rig.run(without);
            times[i] = rig.run(with);
        }
        Arrays.sort(times);
        Arrays.sort(base);
        return new double[] {times[steps / 2] / 1e6, base[steps / 2] / 1e6};
    }

    private void row(Rig rig, AdapterFamily family, int rank) throws IOException {
        List<LoadedAdapter> adapters = new ArrayList<>();
        try (Temporary folder = new Temporary()) {
            Path adapter = folder.path().resolve("a");
            family.write(adapter, rig.checkpoint(), rank, DType.F16, 1);
            adapters.add(rig.adapter(adapter, family.task()));
            long bytes = adapters.getFirst().bytes();
            boolean different = bytes * Rig.MOST_SEQUENCES < MOST_BYTES;
            while (different && adapters.size() < Rig.MOST_SEQUENCES) {
                adapters.add(rig.adapter(adapter, family.task()));
            }
            System.out.printf(Locale.ROOT, "| %-22s | %8.2f | %8s | %16s | %17s |%n", family.title() + (family.ranked() ? ", rank " + rank : ""), bytes / (double) (1 << 20),
                    added(rig, 1, adapters.subList(0, 1)), added(rig, 16, adapters.subList(0, 1)), different ? added(rig, 16, adapters) : "");
        } finally {
            adapters.forEach(LoadedAdapter::close);
        }
    }

    /** How much longer a step takes in the median, in per cent. */
    private String added(Rig rig, int sequences, List<LoadedAdapter> adapters) {
        double[] millis = millis(rig, rig.decode(sequences, POSITION, adapters), rig.decode(sequences, POSITION, List.of()));
        return String.format(Locale.ROOT, "%+.0f", 100.0 * millis[0] / millis[1] - 100);
    }
}
