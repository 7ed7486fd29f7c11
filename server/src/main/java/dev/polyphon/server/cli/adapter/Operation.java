package dev.polyphon.server.cli.adapter;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.Delta;
import dev.polyphon.engine.adapter.ops.Decompose;
import dev.polyphon.engine.adapter.ops.LoraAdapter;
import dev.polyphon.engine.adapter.ops.Progress;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.model.Checkpoint;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.IntSummaryStatistics;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CountDownLatch;
import picocli.CommandLine;
import picocli.CommandLine.Option;

/**
 * What the commands share: progress on a terminal, results for people or as JSON, and Ctrl-C, upon which the operation ends between two parts of its work
 * and takes back what it began to write.
 */
abstract class Operation implements Callable<Integer> {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int INTERRUPTED = 130;
    private static final String CLEAR_LINE = "\r\033[K";

    @Option(names = "--json", description = "Print the result as one JSON object.")
    private boolean json;

    @CommandLine.Spec
    private CommandLine.Model.CommandSpec spec;

    private volatile boolean cancelled;
    private boolean lineOpen;

    /** Does it; the result's fields are told to the user. */
    abstract ObjectNode perform(Progress progress) throws IOException;

    /** The result for a person; by default a line for each field. */
    void tell(ObjectNode result, PrintWriter out) {
        result.fields().forEachRemaining(field -> out.printf("%-12s %s%n", field.getKey(), field.getValue().isTextual()
                ? field.getValue().asText()
                : field.getValue()));
    }

    @Override
    public final Integer call() throws IOException {
        CountDownLatch ended = new CountDownLatch(1);
        Thread onInterrupt = new Thread(() -> {
            cancelled = true;
            try {
                ended.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }, "cancel");
        Runtime.getRuntime().addShutdownHook(onInterrupt);
        PrintWriter out = spec.commandLine().getOut();
        try {
            ObjectNode result = perform(this::show);
            clear();
            if (json) {
                out.println(JSON.writeValueAsString(result));
            } else {
                tell(result, out);
            }
            out.flush();
            return CommandLine.ExitCode.OK;
        } catch (CancellationException e) {
            clear();
            spec.commandLine().getErr().println("polyphon: cancelled; nothing was written");
            return INTERRUPTED;
        } catch (IllegalArgumentException e) {
            clear();
            throw new CommandLine.ParameterException(spec.commandLine(), e.getMessage());
        } finally {
            clear();
            ended.countDown();
            try {
                Runtime.getRuntime().removeShutdownHook(onInterrupt);
            } catch (IllegalStateException e) {
                // The machine is going down already: the hook waits for no more than the latch.
            }
        }
    }

    private void show(int done, int total) {
        if (cancelled) {
            throw new CancellationException("cancelled");
        }
        if (System.console() != null && System.console().isTerminal() && !json) {
            System.err.printf("%s    %d of %d", CLEAR_LINE, done, total);
            System.err.flush();
            lineOpen = true;
        }
    }

    private void clear() {
        if (lineOpen) {
            System.err.print(CLEAR_LINE);
            System.err.flush();
            lineOpen = false;
        }
    }

    static ObjectNode result() {
        return JSON.createObjectNode();
    }

    /** What an adapter adds to a base's weights. */
    static Map<String, Delta> deltas(Path folder, String task, Checkpoint base) throws IOException {
        try (Kernels kernels = CpuKernels.open(1)) {
            return AdapterFolder.open(folder).deltas(task, base, kernels);
        }
    }

    /** Saves a LoRA adapter that was found for changes of weights, and tells of it. */
    static ObjectNode write(Decompose.Result found, Checkpoint base, Path to) throws IOException {
        ObjectNode result = write(found.adapter(), base, to);
        return result.put("largestError", found.errors().values().stream().mapToDouble(Double::doubleValue).max().orElse(0));
    }

    /** Saves a LoRA adapter, and tells of it. */
    static ObjectNode write(LoraAdapter adapter, Checkpoint base, Path to) throws IOException {
        adapter.save(to, base);
        IntSummaryStatistics ranks = adapter.modules().values().stream().mapToInt(LoraAdapter.Factors::rank).summaryStatistics();
        return result().put("written", to.toString()).put("modules", adapter.modules().size()).put("leastRank", ranks.getMin())
                .put("mostRank", ranks.getMax());
    }
}
