package dev.polyphon.engine.pool;

import dev.polyphon.engine.RandomAdapter;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterTiers;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.Scheduling;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

/** Churns through real adapters of a tiny base, many more than there is room for, and measures hit rates and resident memory. */
final class PoolChurn {
    private static final int ADAPTERS = 1000;
    private static final int ROOM = 64;
    private static final int THREADS = 16;

    private PoolChurn() {}

    /** Arguments: how often an adapter is taken in all, and the exponent of the Zipf law by which one is chosen. */
    public static void main(String[] args) throws Exception {
        int takes = Integer.parseInt(args[0]);
        double[] cumulative = new double[ADAPTERS];
        for (int i = 0; i < ADAPTERS; i++) {
            cumulative[i] = (i == 0 ? 0 : cumulative[i - 1]) + Math.pow(i + 1, -Double.parseDouble(args[1]));
        }
        Path base = Path.of(PoolChurn.class.getResource("/golden/bases/llama").toURI());
        Path folder = Files.createTempDirectory("churn");
        try (Checkpoint checkpoint = Checkpoint.open(base); CpuKernels kernels = CpuKernels.open(1);
                var executor = Executors.newVirtualThreadPerTaskExecutor()) {
            for (int i = 0; i < ADAPTERS; i++) {
                RandomAdapter.write(folder.resolve("a" + i), i, 8, RandomAdapter.allModules());
            }
            long one;
            try (var probe = AdapterFolder.open(folder.resolve("a0")).load("a0", null, checkpoint, kernels)) {
                one = probe.bytes();
            }
            try (AdapterPool pool = new AdapterPool("base", PoolOptions.of(ROOM * one + one / 2).withHostBytes(4 * ROOM * one),
                    parts -> AdapterFolder.load(parts, checkpoint, kernels), executor, new RuntimeObserver() {})) {
                for (int i = 0; i < ADAPTERS; i++) {
                    pool.catalog().register(AdapterRegistration.folder("a" + i, "base", folder.resolve("a" + i)));
                }
                for (int quarter = 1; quarter <= 4; quarter++) {
                    churn(pool, takes / 4, cumulative, quarter);
                    AdapterTiers tiers = pool.tiers();
                    System.out.printf("%d taken: device %s, host %s, %d adapters of %d bytes, resident memory %d MB%n", quarter * (takes / 4), rate(tiers.device()),
                            rate(tiers.host()), tiers.device().adapters(), one, resident());
                }
            }
        } finally {
            try (var files = Files.walk(folder)) {
                files.sorted(java.util.Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
            }
        }
    }

    private static void churn(AdapterPool pool, int takes, double[] cumulative, int seed) throws InterruptedException {
        AtomicInteger left = new AtomicInteger(takes);
        Thread[] threads = new Thread[THREADS];
        for (int t = 0; t < THREADS; t++) {
            Random random = new Random(seed * 100L + t);
            threads[t] = Thread.ofPlatform().start(() -> {
                while (left.getAndDecrement() > 0) {
                    int at = Arrays.binarySearch(cumulative, random.nextDouble() * cumulative[ADAPTERS - 1]);
                    List<AdapterWeight> wanted = List.of(new AdapterWeight("a" + Math.min(ADAPTERS - 1, at < 0 ? -at - 1 : at)));
                    pool.acquire("tenant", wanted, Scheduling.NO_LIMIT).join().close();
                }
            });
        }
        for (Thread thread : threads) {
            thread.join();
        }
    }

    private static String rate(AdapterTiers.Tier tier) {
        return "%.1f %% hits, %d evictions".formatted(100.0 * tier.hits() / (tier.hits() + tier.misses()), tier.evictions());
    }

    private static long resident() throws java.io.IOException {
        return Long.parseLong(Files.readAllLines(Path.of("/proc/self/status")).stream().filter(line -> line.startsWith("VmRSS")).findFirst().orElseThrow()
                .replaceAll("\\D", "")) >> 10;
    }
}
