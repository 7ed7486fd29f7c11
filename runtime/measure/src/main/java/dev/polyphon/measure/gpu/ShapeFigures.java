package dev.polyphon.measure.gpu;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.measure.gpu.Figures.Goal;
import dev.polyphon.measure.random.AdapterFamily;
import dev.polyphon.measure.random.RandomLlama;
import dev.polyphon.measure.random.Temporary;
import dev.polyphon.measure.step.Rig;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;
import java.util.stream.Stream;

/** The figures of one shape of model. Times are medians, of whole steps as the step loop computes them, tokens chosen. */
final class ShapeFigures {
    private static final int ADAPTERS = 32;
    private static final int RANK = 16;
    private static final int POSITION = 512;
    private static final int PROMPT = 2048;
    private static final int FEWEST = 5;

    private final RandomLlama shape;
    private final Supplier<Kernels> kernels;
    private final JsonNode limits;
    private final Figures figures;
    private final double seconds;

    /** @param limits what was measured of the machine by others */
    ShapeFigures(RandomLlama shape, Supplier<Kernels> kernels, JsonNode limits, Figures figures, double seconds) {
        this.shape = shape;
        this.kernels = kernels;
        this.limits = limits;
        this.figures = figures;
        this.seconds = seconds;
    }

    /** @param parent where the model is written to for a while */
    void measure(Path parent) throws IOException {
        try (Temporary folder = new Temporary(parent)) {
            Path model = folder.path().resolve(shape.name());
            shape.write(model);
            try (Rig rig = new Rig(model, kernels.get(), new Rig.Room(ADAPTERS, PROMPT + 32, PROMPT))) {
                decode(rig);
                prefill(rig);
                adapters(rig, folder.path().resolve("adapter"));
            }
        }
    }

    private double limit(String name) {
        return limits.path(name).asDouble(Double.NaN);
    }

    private double limit(String group, String name) {
        return limits.path(group).path(name).asDouble(Double.NaN);
    }

    private void decode(Rig rig) throws IOException {
        for (int batch : new int[] {1, 8}) {
            double step = median(() -> rig.run(rig.decode(batch, POSITION, List.of())));
            double bytes = 2.0 * shape.multiplied() + batch * (double) rig.kvBytes() * (POSITION + 1);
            figures.add(shape.name() + ", decode, batch " + batch + ": bytes moved (copy)", bytes / step, limit("copy_gb_per_s"), "GB/s", new Goal(true, 0.7));
        }
    }

    private void prefill(Rig rig) throws IOException {
        double step = median(() -> rig.run(rig.prompt(PROMPT, PROMPT, List.of())));
        double head = 2.0 * shape.vocabulary() * shape.hidden();
        double operations = PROMPT * (2.0 * shape.multiplied() - head) + head + 2.0 * shape.layers() * shape.hidden() * (double) PROMPT * PROMPT;
        figures.add(shape.name() + ", prompt of " + PROMPT + " (bf16 products)", operations / step / 1000, limit("bf16_tflop_per_s"), "TFLOP/s", new Goal(true, 0.5));
    }

    private void adapters(Rig rig, Path folder) throws IOException {
        AdapterFamily.LORA.write(folder, rig.checkpoint(), RANK, DType.BF16, 1);
        List<LoadedAdapter> loaded = new ArrayList<>();
        try {
            // As many copies in the device's memory as there are rows.
            while (loaded.size() < ADAPTERS) {
                loaded.add(rig.adapter(folder, null));
            }
            Rig.Load without = rig.decode(ADAPTERS, POSITION, List.of());
            Rig.Load with = rig.decode(ADAPTERS, POSITION, loaded);
            double base = median(() -> rig.run(without));
            double different = median(() -> rig.run(with));
            figures.add(shape.name() + ", batch 32, 32 adapters of rank 16 (base alone)", different / 1e6, base / 1e6, "ms", new Goal(false, 1.05));
            figures.add(shape.name() + ", the same (PEFT's adapter_names)", ADAPTERS / different * 1e9, limit("peft_" + shape.name(), "tokens_per_s"),
                    "tokens/s", new Goal(true, 30));
            swap(rig, folder, loaded.getFirst().bytes(), with);
        } finally {
            loaded.forEach(LoadedAdapter::close);
        }
    }

    /** From files that are in the host's memory, since they were just read. */
    private void swap(Rig rig, Path folder, double bytes, Rig.Load steps) throws IOException {
        double load = median(() -> {
            long start = System.nanoTime();
            rig.adapter(folder, null).close();
            return System.nanoTime() - start;
        });
        figures.add(shape.name() + ", swapping in an adapter (its bytes by PCIe)", load / 1e6, bytes / limit("pcie_gb_per_s") / 1e6, "ms", new Goal(false, 1.2));
        double alone = median(() -> rig.run(steps));
        List<Double> beside = new ArrayList<>();
        for (long end = System.nanoTime() + (long) (seconds * 1e9); beside.size() < FEWEST || System.nanoTime() < end; ) {
            CompletableFuture<Void> swapping = CompletableFuture.runAsync(() -> load(rig, folder));
            while (!swapping.isDone()) {
                beside.add((double) rig.run(steps));
            }
            swapping.join();
        }
        figures.add(shape.name() + ", batch 32 while others are swapped in (without)", median(beside.stream()) / 1e6, alone / 1e6, "ms", new Goal(false, 1.05));
    }

    private static void load(Rig rig, Path folder) {
        try {
            rig.adapter(folder, null).close();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    /** Nanoseconds. */
    private double median(Callable<Long> run) throws IOException {
        List<Double> times = new ArrayList<>();
        try {
            for (int i = 0; i < FEWEST; i++) {
                run.call();
            }
            for (long end = System.nanoTime() + (long) (seconds * 1e9); times.size() < FEWEST || System.nanoTime() < end; ) {
                times.add((double) run.call());
            }
        } catch (IOException | RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
        return median(times.stream());
    }

    private static double median(Stream<Double> times) {
        double[] sorted = times.mapToDouble(Double::doubleValue).toArray();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }
}
