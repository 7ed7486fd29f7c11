package dev.polyphon.server.admin;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterOperation;
import dev.polyphon.runtime.AdapterOperation.Outcome;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.server.openai.ApiError;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs operations on adapters beside the serving, so many at once, and remembers those that ended last. What they make is written to a folder and
 * registered; what fails or is cancelled leaves nothing. Thread-safe.
 */
public final class OperationQueue implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(OperationQueue.class);
    private static final Duration PATIENCE = Duration.ofSeconds(10);
    private static final Duration RETRY_AFTER = Duration.ofSeconds(10);

    private final Runtime runtime;
    private final OperationSettings settings;
    private final ThreadPoolExecutor executor;
    /** The oldest first. Guarded by this. */
    private final Map<String, OperationRun> runs = new LinkedHashMap<>();

    public OperationQueue(Runtime runtime, OperationSettings settings) {
        this.runtime = runtime;
        this.settings = settings;
        this.executor = new ThreadPoolExecutor(settings.running(), settings.running(), 1, TimeUnit.MINUTES, new LinkedBlockingQueue<>(settings.waiting()),
                Thread.ofPlatform().daemon().name("operation-", 0).factory());
        executor.allowCoreThreadTimeOut(true);
    }

    /** The folder that results are written to, or null. */
    Path folder() {
        return settings.folder();
    }

    /** How many tokens the texts may have that an operation runs the base on. */
    int calibrationTokens() {
        return settings.calibrationTokens();
    }

    /** Where an operation's result is written. */
    private Path target(OperationRun run) {
        return switch (run.operation.outcome()) {
            case REPORT -> null;
            case ADAPTER -> settings.folder().resolve(run.id);
            case MODEL -> settings.folder().resolve(run.to);
        };
    }

    /** Takes an operation. Throws a {@link RuntimeFault} when as many wait as may. */
    void submit(OperationRun run) {
        synchronized (this) {
            runs.values().stream().filter(one -> one.status().ended()).limit(Math.max(0, ended() - settings.kept())).map(one -> one.id).toList()
                    .forEach(runs::remove);
            runs.put(run.id, run);
        }
        try {
            executor.execute(() -> run(run));
        } catch (RejectedExecutionException e) {
            synchronized (this) {
                runs.remove(run.id);
            }
            throw executor.isShutdown() ? RuntimeFault.of(Kind.SHUTTING_DOWN, "the server is shutting down")
                    : RuntimeFault.overloaded("as many operations wait as may (" + settings.waiting() + ")", RETRY_AFTER);
        }
    }

    private long ended() {
        return runs.values().stream().filter(one -> one.status().ended()).count();
    }

    synchronized Optional<OperationRun> find(String id) {
        return Optional.ofNullable(runs.get(id));
    }

    /** The newest first. */
    synchronized List<OperationRun> list() {
        return new ArrayList<>(runs.values()).reversed();
    }

    private void run(OperationRun run) {
        if (!run.start()) {
            return;
        }
        String kind = OperationJson.kind(run.operation);
        try {
            run.completed(perform(run, target(run)));
            LOG.info("operation {} ({}) completed", run.id, kind);
        } catch (CancellationException e) {
            run.stopped();
            LOG.info("operation {} ({}) was cancelled", run.id, kind);
        } catch (RuntimeFault | CompletionException e) {
            RuntimeFault fault = fault(e);
            run.failed(ApiError.of(fault));
            LOG.info("operation {} ({}) failed: {}", run.id, kind, fault.getMessage());
        } catch (RuntimeException | OutOfMemoryError e) {
            LOG.error("operation {} ({}) failed", run.id, kind, e);
            run.failed(ApiError.of(RuntimeFault.of(Kind.INTERNAL, "the operation failed: " + e, e)));
        }
    }

    private static RuntimeFault fault(RuntimeException e) {
        return e instanceof RuntimeFault fault ? fault : e.getCause() instanceof RuntimeFault cause ? cause
                : RuntimeFault.of(Kind.INTERNAL, "the operation failed: " + e.getCause(), e);
    }

    private ObjectNode perform(OperationRun run, Path to) {
        AdapterOperation operation = run.operation;
        ObjectNode result = AdapterJson.MAPPER.valueToTree(runtime.operations().perform(run.owner, operation, to, run::at));
        if (operation.outcome() == Outcome.MODEL) {
            result.put("written", to.toString());
        } else if (operation.outcome() == Outcome.ADAPTER) {
            try {
                result.set("adapter", AdapterJson.one(register(run, to)));
            } catch (RuntimeException e) {
                delete(to);
                throw e;
            }
        }
        return result;
    }

    private AdapterInfo register(OperationRun run, Path folder) {
        String from = run.operation.adapters().getFirst().name();
        String base = runtime.adapters().find(run.owner, from).map(AdapterInfo::base)
                .orElseThrow(() -> RuntimeFault.of(Kind.UNKNOWN_ADAPTER, "adapter " + from + " was removed meanwhile"));
        var registration = new AdapterRegistration(run.resultId(), base, new AdapterSource.Folder(folder), run.labels, null, run.replace);
        return runtime.adapters().load(registration).join();
    }

    private static void delete(Path path) {
        try (Stream<Path> files = Files.walk(path)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        } catch (IOException e) {
            LOG.warn("what is left of an operation at {} cannot be deleted: {}", path, e.toString());
        }
    }

    /** Cancels all, and waits for a while until they have ended. */
    @Override
    public void close() {
        list().forEach(OperationRun::cancel);
        executor.shutdown();
        try {
            if (!executor.awaitTermination(PATIENCE.toMillis(), TimeUnit.MILLISECONDS)) {
                LOG.warn("an operation on adapters goes on past the end");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
