package dev.polyphon.server.tenant;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Counts what is used, token by token, and writes what has come since the last time once a second. Totals only grow, and what was written of them is
 * noted when the disk has it: an increment is written once, whatever fails between. A process that dies loses the time since it last wrote; the next
 * start adds an estimate of that, marked as one.
 */
final class UsageMeter implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(UsageMeter.class);
    private static final long PERIOD_MILLIS = 1000;

    /** Entries of the audit log kept while they cannot be written. */
    private static final int MOST_PENDING = 10_000;

    private final Sink sink;
    private final Map<Usage.Kind, Totals> totals = new ConcurrentHashMap<>();
    private final ConcurrentLinkedQueue<AuditEntry> done = new ConcurrentLinkedQueue<>();
    private final Thread writer = Thread.ofPlatform().daemon().name("usage").unstarted(this::run);
    private boolean busy;
    /** By {@link System#nanoTime}. */
    private long failingSince;
    private boolean failing;
    private volatile boolean closed;

    /** What was used of one kind since the start. */
    static final class Totals {
        private final AtomicLong requests = new AtomicLong();
        private final AtomicLong prompt = new AtomicLong();
        private final AtomicLong cached = new AtomicLong();
        private final AtomicLong generated = new AtomicLong();
        private final AtomicLong millis = new AtomicLong();
        /** What the disk has; on the writer's thread. */
        private Usage.Counts written = Usage.Counts.NONE;

        void started(int promptTokens, int cachedTokens) {
            requests.incrementAndGet();
            prompt.addAndGet(promptTokens);
            cached.addAndGet(cachedTokens);
        }

        void generated(long tokens) {
            generated.addAndGet(tokens);
        }

        void ended(long inBatchMillis) {
            millis.addAndGet(inBatchMillis);
        }

        private Usage.Counts now() {
            return new Usage.Counts(requests.get(), prompt.get(), cached.get(), generated.get(), millis.get(), 0);
        }
    }

    /** Where counts and entries are kept: all of them, or with an exception none. */
    interface Sink {
        void add(Map<Usage.Kind, Usage.Counts> used, List<AuditEntry> done) throws IOException;
    }

    UsageMeter(Sink sink) {
        this.sink = sink;
    }

    void start() {
        writer.start();
    }

    Totals of(Usage.Kind kind) {
        return totals.computeIfAbsent(kind, _ -> new Totals());
    }

    void audit(AuditEntry entry) {
        done.add(entry);
    }

    private void run() {
        while (!closed) {
            try {
                Thread.sleep(PERIOD_MILLIS);
            } catch (InterruptedException e) {
                return;
            }
            write();
        }
    }

    /** Writes what is new, and after a second without anything, that there was none. */
    synchronized void write() {
        Map<Usage.Kind, Usage.Counts> until = new HashMap<>();
        Map<Usage.Kind, Usage.Counts> fresh = new HashMap<>();
        totals.forEach((kind, total) -> {
            Usage.Counts now = total.now();
            if (!now.equals(total.written)) {
                until.put(kind, now);
                fresh.put(kind, now.minus(total.written));
            }
        });
        List<AuditEntry> entries = new ArrayList<>();
        for (AuditEntry entry = done.poll(); entry != null; entry = done.poll()) {
            entries.add(entry);
        }
        if (fresh.isEmpty() && entries.isEmpty() && !busy) {
            return;
        }
        try {
            sink.add(fresh, entries);
            until.forEach((kind, counts) -> totals.get(kind).written = counts);
            busy = !fresh.isEmpty();
            failing = false;
        } catch (IOException e) {
            entries.stream().skip(Math.max(0, entries.size() - MOST_PENDING)).forEach(done::add);
            if (!failing) {
                failingSince = System.nanoTime();
                LOG.error("usage is kept in memory until it can be written: {}", e.getMessage());
            }
            failing = true;
        }
    }

    /** How long it has not been able to write what is new; zero when it can. */
    synchronized Duration behind() {
        return failing ? Duration.ofNanos(System.nanoTime() - failingSince) : Duration.ZERO;
    }

    @Override
    public void close() {
        closed = true;
        writer.interrupt();
        try {
            writer.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        write();
    }
}
