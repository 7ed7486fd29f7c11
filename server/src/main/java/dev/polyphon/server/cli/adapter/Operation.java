package dev.polyphon.server.cli.adapter;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.client.PolyphonClient;
import dev.polyphon.engine.Operations;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterOperation;
import dev.polyphon.runtime.AdapterOperation.Outcome;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.server.admin.OperationJson;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.ConnectException;
import java.net.URI;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CountDownLatch;
import picocli.CommandLine;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;

/**
 * What the commands share: they perform an operation here, on folders, or have a running server perform it on adapters that it knows. There is progress
 * on a terminal, results for people or as JSON, and Ctrl-C, upon which the operation ends between two parts of its work and leaves nothing.
 */
abstract class Operation implements Callable<Integer> {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int INTERRUPTED = 130;
    private static final int POLL_MILLIS = 200;
    private static final String CLEAR_LINE = "\r\033[K";

    @Option(names = "--base", paramLabel = "MODEL", description = "The adapters' base: a Hugging Face folder or a GGUF file.")
    private Path base;

    @Option(names = "--server", paramLabel = "URL", description = "Have this running server do it: adapters are names there, and so is what it makes.")
    private URI server;

    @Option(names = "--key", paramLabel = "KEY", defaultValue = "${POLYPHON_API_KEY}", description = "The server's API key; better given as POLYPHON_API_KEY.")
    private String key;

    @Option(names = "--owner", paramLabel = "TENANT", description = "On a server: whose adapters these are, and whose the result will be (default: all tenants').")
    private String owner;

    @Option(names = "--json", description = "Print the result as one JSON object.")
    private boolean json;

    @CommandLine.Spec
    private CommandLine.Model.CommandSpec spec;

    private volatile boolean cancelled;
    private boolean lineOpen;

    /** What is to be done; it names adapters as the user does. @throws IOException when a file that says more of it cannot be read */
    abstract AdapterOperation operation() throws IOException;

    /** Where the result goes, in the user's words; null for one that leaves none. */
    abstract String to();

    /** Whether nothing can be done here without the base. */
    boolean needsBase() {
        return true;
    }

    /** The result for a person; by default a line for each field. */
    void tell(ObjectNode result, PrintWriter out) {
        result.fields().forEachRemaining(field -> out.printf("%-12s %s%n", field.getKey(), field.getValue().isTextual()
                ? field.getValue().asText()
                : field.getValue()));
    }

    @Override
    public final Integer call() throws IOException, InterruptedException {
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
            ObjectNode result = server == null ? here(operation()) : there(operation());
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
        } catch (RuntimeFault e) {
            clear();
            if (e.kind() == Kind.INVALID) {
                throw new ParameterException(spec.commandLine(), e.getMessage());
            }
            throw new IOException(e.getMessage(), e);
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

    private ObjectNode here(AdapterOperation operation) throws IOException {
        if (base == null && needsBase()) {
            throw new ParameterException(spec.commandLine(), "--base MODEL is missing; or --server URL, to have a running server do it");
        }
        try (Checkpoint checkpoint = base == null ? null : Checkpoint.open(base)) {
            Operations operations = new Operations((tenant, folder) -> AdapterFolder.open(Path.of(folder)), checkpoint);
            ObjectNode result = JSON.valueToTree(operations.perform(AdapterId.SHARED, operation, to() == null ? null : Path.of(to()), this::show));
            return operation.outcome() == Outcome.REPORT ? result : result.put("written", to());
        }
    }

    private ObjectNode there(AdapterOperation operation) throws IOException, InterruptedException {
        if (base != null) {
            throw new ParameterException(spec.commandLine(), "--base is the server's own: it cannot be given with --server");
        }
        ObjectNode request = OperationJson.write(operation);
        if (owner != null) {
            request.put("owner", owner);
        }
        if (to() != null) {
            request.put("to", to());
        }
        try (var client = new PolyphonClient(server, key == null || key.isEmpty() ? null : key)) {
            var run = client.startOperation(request);
            boolean told = false;
            while (!run.ended()) {
                Thread.sleep(POLL_MILLIS);
                if (cancelled && !told) {
                    client.cancelOperation(run.id());
                    told = true;
                }
                run = client.operation(run.id());
                if (!told) {
                    line(run.done(), run.total());
                }
            }
            return switch (run.status()) {
                case "completed" -> (ObjectNode) run.result();
                case "cancelled" -> throw new CancellationException("cancelled");
                default -> throw new IOException(run.failure());
            };
        } catch (ConnectException e) {
            throw new IOException("nothing answers at " + server + ": is the server running?", e);
        }
    }

    private void show(int done, int total) {
        if (cancelled) {
            throw new CancellationException("cancelled");
        }
        line(done, total);
    }

    private void line(int done, int total) {
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
}
