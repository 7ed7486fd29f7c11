package dev.polyphon.measure.step;

import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.measure.random.AdapterFamily;
import dev.polyphon.measure.random.Temporary;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.function.Function;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon measure step}. */
@Command(name = "step", mixinStandardHelpOptions = true, sortOptions = false,
        description = "Where the time of a step goes: sequences that go on, alone and 16 at once, without and with adapters, and prompts of 128 and 512.")
public final class StepProfile implements Callable<Integer> {
    private static final int POSITION = 128;
    private static final int CHUNK = 128;

    @Parameters(paramLabel = "MODEL", description = "A GGUF file or a Hugging Face folder.")
    private Path model;

    @Option(names = "--device", paramLabel = "DEVICE", description = "cpu or cpu:vector (default: ${DEFAULT-VALUE}).")
    private String device = "cpu";

    @Option(names = "--threads", paramLabel = "N", description = "Computing threads (default: one per processor).")
    private int threads;

    @Option(names = "--rank", paramLabel = "R", description = "Of the LoRAs on all linear layers (default: ${DEFAULT-VALUE}).")
    private int rank = 16;

    @Option(names = "--seconds", paramLabel = "S", description = "Time for each load, and as much to warm up (default: ${DEFAULT-VALUE}).")
    private double seconds = 3;

    /** @param nanos of each operation in the median of the runs */
    private record Profile(double median, double best, Map<String, Double> nanos) {}

    @Override
    public Integer call() throws IOException {
        try (Rig rig = new Rig(model, device, threads); Temporary folder = new Temporary()) {
            List<LoadedAdapter> adapters = new ArrayList<>();
            try {
                for (int i = 0; i < Rig.MOST_SEQUENCES; i++) {
                    Path adapter = folder.path().resolve("a" + i);
                    AdapterFamily.LORA.write(adapter, rig.checkpoint(), rank, DType.F16, i);
                    adapters.add(rig.adapter(adapter, null));
                }
                Map<String, Rig.Load> loads = new LinkedHashMap<>();
                loads.put("1 row", rig.decode(1, POSITION, List.of()));
                loads.put("1 row, LoRA", rig.decode(1, POSITION, adapters.subList(0, 1)));
                loads.put("16 rows", rig.decode(16, POSITION, List.of()));
                loads.put("16 rows, one LoRA", rig.decode(16, POSITION, adapters.subList(0, 1)));
                loads.put("16 rows, 16 LoRAs", rig.decode(16, POSITION, adapters));
                loads.put("prompt of 128", rig.prompt(128, CHUNK, List.of()));
                loads.put("prompt of 512", rig.prompt(512, CHUNK, List.of()));
                // All of them first: Java goes on compiling what several have in common.
                loads.values().forEach(load -> warmUp(rig, load));
                Map<String, Profile> profiles = new LinkedHashMap<>();
                loads.forEach((name, load) -> profiles.put(name, profile(rig, load)));
                print(profiles);
            } finally {
                adapters.forEach(LoadedAdapter::close);
            }
        }
        return 0;
    }

    private void warmUp(Rig rig, Rig.Load load) {
        for (long end = System.nanoTime() + (long) (seconds * 1e9); System.nanoTime() < end; ) {
            rig.run(load);
        }
    }

    private Profile profile(Rig rig, Rig.Load load) {
        List<Long> times = new ArrayList<>();
        List<Map<String, Long>> operations = new ArrayList<>();
        for (long end = System.nanoTime() + (long) (seconds * 1e9); System.nanoTime() < end; ) {
            rig.clock.reset();
            times.add(rig.run(load));
            operations.add(Map.copyOf(rig.clock.nanos()));
        }
        Map<String, Double> medians = new LinkedHashMap<>();
        for (String operation : operations.stream().flatMap(o -> o.keySet().stream()).collect(Collectors.toCollection(TreeSet::new))) {
            medians.put(operation, median(operations.stream().mapToLong(o -> o.getOrDefault(operation, 0L)).toArray()));
        }
        long[] all = times.stream().mapToLong(Long::longValue).toArray();
        return new Profile(median(all), Arrays.stream(all).min().orElseThrow(), medians);
    }

    static double median(long[] values) {
        long[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }

    private static void print(Map<String, Profile> profiles) {
        System.out.println("| % of the median | " + String.join(" | ", profiles.keySet()) + " |");
        System.out.println("|---|" + "---|".repeat(profiles.size()));
        TreeSet<String> operations = profiles.values().stream().flatMap(p -> p.nanos.keySet().stream()).collect(Collectors.toCollection(TreeSet::new));
        operations.removeIf(o -> profiles.values().stream().allMatch(p -> p.nanos.getOrDefault(o, 0.0) < 0.0005 * p.median));
        for (String operation : operations) {
            row(operation, profiles, p -> String.format(Locale.ROOT, "%.1f", 100 * p.nanos.getOrDefault(operation, 0.0) / p.median));
        }
        row("between them", profiles, p -> String.format(Locale.ROOT, "%.1f",
                100 - 100 * p.nanos.values().stream().mapToDouble(Double::doubleValue).sum() / p.median));
        row("**median, ms**", profiles, p -> String.format(Locale.ROOT, "%.2f", p.median / 1e6));
        row("**best, ms**", profiles, p -> String.format(Locale.ROOT, "%.2f", p.best / 1e6));
    }

    private static void row(String title, Map<String, Profile> profiles, Function<Profile, String> cell) {
        System.out.println("| " + title + " | " + profiles.values().stream().map(cell).collect(Collectors.joining(" | ")) + " |");
    }
}
