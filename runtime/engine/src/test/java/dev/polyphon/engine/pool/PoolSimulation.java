package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.schedule.Arrival;
import dev.polyphon.engine.schedule.Plot;
import dev.polyphon.engine.schedule.Trace;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterTiers;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.Scheduling;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.List;
import java.util.Map;

/** Drives a real pool, whose adapters only say how large they are, by a load of many tenants, and writes what its tiers find: {@code PoolSimulation FOLDER}. */
final class PoolSimulation {
    private static final int ADAPTERS = 10_000;
    private static final int TENANTS = 200;
    private static final int[] RANKS = {8, 8, 8, 8, 8, 16, 16, 16, 32, 64};
    private static final long BYTES_OF_RANK = 300_000;
    private static final long MEAN_BYTES = BYTES_OF_RANK * (5 * 8 + 3 * 16 + 32 + 64) / 10;
    /** What the host tier counts for a file of ours. */
    private static final long FILE_BYTES = 1024;
    /** Requests under way at once. */
    private static final int RUNNING = 32;

    private PoolSimulation() {}

    public static void main(String[] arguments) throws IOException {
        Path files = Files.createTempDirectory("adapters");
        try {
            for (int i = 0; i < ADAPTERS; i++) {
                Path folder = Files.createDirectory(files.resolve("a" + i));
                Files.writeString(folder.resolve("adapter_config.json"), "{\"peft_type\": \"LORA\", \"r\": " + RANKS[i % 7919 * 31 % RANKS.length] + "}");
            }
            report(files, Path.of(arguments[0]));
        } finally {
            try (var all = Files.walk(files)) {
                all.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
            }
        }
    }

    private static void report(Path files, Path plots) throws IOException {
        System.out.println("| Zipf | room for | LRU | LFU | cost-aware | bytes loaded, of LRU's |\n|---|---|---|---|---|---|");
        for (double zipf : new double[] {0.8, 1, 1.2}) {
            List<Arrival> trace = new Trace.Load(1, 600, TENANTS, 100, 1, ADAPTERS, zipf, 0).make();
            Plot plot = new Plot("Adapters found where the model computes, Zipf " + zipf, "room for so many adapters of the mean size", "% of requests").percent();
            Map<Eviction, List<double[]>> lines = new java.util.EnumMap<>(Eviction.class);
            for (int room = 64; room <= 4096; room *= 2) {
                String cells = "";
                double[] loaded = new double[Eviction.values().length];
                for (Eviction eviction : List.of(Eviction.LRU, Eviction.LFU, Eviction.COST_AWARE)) {
                    Found found = run(files, trace, room, 0, eviction);
                    lines.computeIfAbsent(eviction, e -> new ArrayList<>()).add(new double[] {room, found.device()});
                    loaded[eviction.ordinal()] = found.loadedBytes();
                    cells += " %.1f %% |".formatted(found.device());
                }
                System.out.printf("| %s | %d |%s %.0f %% |%n", zipf, room, cells, 100 * loaded[Eviction.COST_AWARE.ordinal()] / loaded[Eviction.LRU.ordinal()]);
            }
            plot.line("LRU", lines.get(Eviction.LRU)).line("LFU", lines.get(Eviction.LFU)).line("cost-aware", lines.get(Eviction.COST_AWARE))
                    .write(plots.resolve("hit-rate-zipf-" + zipf + ".svg"));
        }
        System.out.println("\n| Zipf | room for | in host memory for | found where the model computes | of the rest in host memory | read from the disk |\n|---|---|---|---|---|---|");
        for (double zipf : new double[] {0.8, 1, 1.2}) {
            List<Arrival> trace = new Trace.Load(1, 600, TENANTS, 100, 1, ADAPTERS, zipf, 0).make();
            for (int room : new int[] {64, 512}) {
                for (int host : new int[] {512, 2048, 8192}) {
                    Found found = run(files, trace, room, host, Eviction.COST_AWARE);
                    System.out.printf("| %s | %d | %d | %.1f %% | %.1f %% | %.1f %% |%n", zipf, room, host, found.device(), found.host(),
                            (100 - found.device()) * (100 - found.host()) / 100);
                }
            }
        }
    }

    /** Percent found of what was looked for in each tier, and bytes brought to where the model computes. */
    private record Found(double device, double host, double loadedBytes) {}

    private static Found run(Path files, List<Arrival> trace, int room, int host, Eviction eviction) throws IOException {
        long[] loaded = new long[1];
        PoolOptions options = PoolOptions.of(room * MEAN_BYTES).withEviction(eviction).withHostBytes(host * FILE_BYTES).withRecheck(Duration.ofDays(1));
        try (AdapterPool pool = new AdapterPool("base", options, parts -> {
            long bytes = parts.getFirst().folder().config().path("r").asInt() * BYTES_OF_RANK;
            loaded[0] += bytes;
            return new LoadedAdapter(new AdapterWeights("a", 1, Map.of()), bytes, new Owned());
        }, Runnable::run, new RuntimeObserver() {})) {
            List<AdapterRegistration> all = new ArrayList<>();
            for (int i = 0; i < ADAPTERS; i++) {
                all.add(AdapterRegistration.folder("a" + i, "base", files.resolve("a" + i)));
            }
            pool.catalog().register(all);
            Deque<AdapterPool.Lease> running = new ArrayDeque<>();
            AdapterTiers warm = AdapterTiers.NONE;
            for (int i = 0; i < trace.size(); i++) {
                if (i == trace.size() / 3) {
                    warm = pool.tiers();
                    loaded[0] = 0;
                }
                Arrival arrival = trace.get(i);
                if (running.size() == RUNNING) {
                    running.poll().close();
                }
                running.add(pool.acquire(arrival.scheduling().tenant(), List.of(new AdapterWeight("a" + arrival.adapter())), Scheduling.NO_LIMIT).join());
            }
            Found found = new Found(hits(warm.device(), pool.tiers().device()), hits(warm.host(), pool.tiers().host()), loaded[0]);
            running.forEach(AdapterPool.Lease::close);
            return found;
        }
    }

    private static double hits(AdapterTiers.Tier before, AdapterTiers.Tier after) {
        double hits = after.hits() - before.hits();
        double misses = after.misses() - before.misses();
        return hits + misses == 0 ? 0 : 100 * hits / (hits + misses);
    }
}
