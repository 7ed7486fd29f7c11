package dev.polyphon.engine.schedule.merge;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.merge.Fold;
import dev.polyphon.engine.merge.MergedAdapter;
import dev.polyphon.engine.model.AdapterPlan.Segment;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Decoder;
import dev.polyphon.engine.model.Site;
import dev.polyphon.engine.pool.AdapterPool;
import dev.polyphon.engine.pool.AdapterPool.Lease;
import dev.polyphon.engine.schedule.BetweenSteps;
import dev.polyphon.runtime.AdapterMerges;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.MergeInfo;
import dev.polyphon.runtime.MergeInfo.Cause;
import dev.polyphon.runtime.MergeInfo.State;
import dev.polyphon.runtime.MergeMode;
import dev.polyphon.runtime.MergeStatus;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.runtime.Scheduling;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.function.BooleanSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Merges adapters of one engine into copies of the weights they touch, on a thread of its own beside the step loop; hands the copies to requests, and releases
 * them when the last request that uses them has ended. A request keeps the form that it began with, so that its tokens do not depend on what is merged meanwhile.
 *
 * <p>Thread-safe. The step loop's thread only counts here and, in mode {@code auto}, times a layer when asked to.
 */
public final class Merges implements AdapterMerges, BetweenSteps, AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Merges.class);
    /** How often adapters' versions are looked at. */
    private static final Duration TICK = Duration.ofMillis(500);
    /** After what time a pinned adapter that could not be merged is tried again. */
    private static final Duration RETRY = Duration.ofSeconds(2);

    /** An adapter in the form that a request keeps to its end. */
    public final class Use implements AutoCloseable {
        private final Lease lease;
        private final MergedCopy copy;
        private boolean closed;

        private Use(Lease lease, MergedCopy copy) {
            this.lease = lease;
            this.copy = copy;
        }

        public AdapterWeights weights() {
            return copy == null ? lease.weights() : copy.adapter.weights();
        }

        /** For a request that waits: see {@link Lease#loosen}. A copy stays. */
        public void loosen() {
            lease.loosen();
        }

        /** Takes hold of the form again; false when it has gone. */
        public boolean fasten() {
            return copy != null || lease.fasten();
        }

        public Lease lease() {
            return lease;
        }

        /** Gives the form back, and the lease. */
        @Override
        public synchronized void close() {
            if (!closed) {
                closed = true;
                if (copy != null) {
                    table.giveBack(copy);
                }
                lease.close();
            }
        }
    }

    private final MergeOptions options;
    private final AdapterPool pool;
    private final Checkpoint base;
    private final Kernels kernels;
    private final MergeTable table;
    private final AutoMerge auto;
    private final Thread thread = Thread.ofPlatform().name("polyphon-merge").unstarted(this::run);
    private BooleanSupplier busy;
    private volatile boolean closed;

    /**
     * @param pool where adapters come from
     * @param base the model that adapters are folded into; open as long as this is
     * @param kernels make the copies
     * @param mostRows of a step
     */
    public Merges(MergeOptions options, AdapterPool pool, Checkpoint base, Kernels kernels, int mostRows) {
        this.options = options;
        this.pool = pool;
        this.base = base;
        this.kernels = kernels;
        table = new MergeTable(options.mode(), options.bytes());
        auto = new AutoMerge(options, table, base, mostRows);
    }

    /** Begins to work. @param stepping whether steps are computed, which the work must not hold up */
    public void start(BooleanSupplier stepping) {
        busy = stepping;
        thread.start();
    }

    /** Takes over a lease, and gives the form in which its adapter is served now. */
    public Use use(Lease lease) {
        auto.used(lease.weights(), MergeTarget.of(lease));
        return new Use(lease, table.use(lease.weights()));
    }

    @Override
    public void after(Decoder decoder, int rows, List<Segment> segments, long nanos) {
        for (Segment segment : segments) {
            if (table.copyOf(segment.adapter()) != null) {
                table.countRows(segment.rows());
            }
        }
        auto.after(decoder, rows, segments, nanos);
    }

    @Override
    public MergeStatus status() {
        return table.status();
    }

    @Override
    public MergeInfo merge(String owner, List<AdapterWeight> adapters) {
        if (adapters.isEmpty()) {
            throw RuntimeFault.invalid("adapters", "name at least one adapter to merge");
        }
        try (Lease lease = acquire(new MergeTarget(owner, adapters))) {
            List<Site> sites = sites(lease);
            long bytes = MergedAdapter.bytes(sites, base, options.precision());
            MergeTarget target = MergeTarget.of(lease);
            synchronized (table) {
                MergeEntry entry = table.find(target).orElse(null);
                if (entry == null) {
                    table.room(bytes, null);
                    entry = table.add(target, Cause.OPERATOR);
                    entry.bytes = bytes;
                } else if (entry.cause == Cause.AUTO) {
                    entry.cause = Cause.OPERATOR;
                }
                return entry.info();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw RuntimeFault.of(Kind.SHUTTING_DOWN, "the wait for the adapter was interrupted");
        }
    }

    @Override
    public Optional<MergeInfo> unmerge(long id) {
        synchronized (table) {
            return table.find(id).map(entry -> {
                if (entry.cause == Cause.PINNED) {
                    throw RuntimeFault.of(Kind.CONFLICT, "adapter " + entry.target + " is merged by the mode " + table.mode().text() + ": change that to unmerge it");
                }
                table.drop(entry);
                return entry.info();
            });
        }
    }

    @Override
    public void mode(MergeMode mode) {
        table.mode(mode);
    }

    private Lease acquire(MergeTarget target) throws InterruptedException {
        CompletableFuture<Lease> lease = pool.acquire(target.owner(), target.adapters(), Scheduling.NO_LIMIT);
        try {
            return lease.get();
        } catch (ExecutionException e) {
            throw AdapterPool.fault(e.getCause());
        } catch (InterruptedException e) {
            if (!lease.cancel(false)) {
                // It came at the same moment.
                lease.thenAccept(Lease::close);
            }
            throw e;
        }
    }

    private static List<Site> sites(Lease lease) {
        List<Site> sites = MergedAdapter.folded(lease.weights());
        if (sites.isEmpty()) {
            List<String> obstacles = Fold.obstacles(lease.weights());
            throw RuntimeFault.invalid("adapters", "adapter " + MergeTarget.of(lease) + " changes no weights that could be merged"
                    + (obstacles.isEmpty() ? "" : ": " + obstacles.getFirst()));
        }
        return sites;
    }

    private void run() {
        long windowEnd = System.nanoTime() + options.window().toNanos();
        while (!closed) {
            try {
                MergeEntry entry = table.await(TICK);
                table.takeIdle().forEach(MergedCopy::close);
                if (entry != null) {
                    make(entry);
                }
                follow();
                if (System.nanoTime() - windowEnd >= 0) {
                    auto.review();
                    windowEnd = System.nanoTime() + options.window().toNanos();
                }
            } catch (InterruptedException e) {
                return;
            } catch (RuntimeException | Error e) {
                LOG.error("merging failed; adapters are served as they are", e);
            }
        }
    }

    private void make(MergeEntry entry) {
        Lease lease = null;
        try {
            lease = acquire(entry.target);
            List<Site> sites = sites(lease);
            table.reserve(entry, MergedAdapter.elements(sites, base), MergedAdapter.bytes(sites, base, options.precision()));
            if (entry.cause == Cause.AUTO && !pays(entry, lease.weights(), sites)) {
                table.reject(entry);
                return;
            }
            table.enter(entry, State.MERGING);
            long start = System.nanoTime();
            MergedAdapter adapter = MergedAdapter.fold(lease.weights(), sites, base, kernels, options.precision(), pace(entry));
            if (publish(entry, lease, adapter)) {
                lease = null;
                LOG.info("adapter {} is merged: {} bytes in {} ms", entry.target, adapter.bytes(), (System.nanoTime() - start) / 1_000_000);
            }
        } catch (InterruptedException e) {
            table.remove(entry);
        } catch (RuntimeFault e) {
            fail(entry, e.getMessage());
        } catch (RuntimeException | Error e) {
            LOG.warn("adapter {} cannot be merged and is served as it is", entry.target, e);
            fail(entry, e.toString());
        } finally {
            if (lease != null) {
                lease.close();
            }
        }
    }

    /** Whether the copy is in service now; otherwise it is closed. */
    private boolean publish(MergeEntry entry, Lease lease, MergedAdapter adapter) {
        boolean published = false;
        try {
            published = table.publish(entry, new MergedCopy(lease, adapter));
            if (!published) {
                table.remove(entry);
            }
            return published;
        } finally {
            if (!published) {
                adapter.close();
            }
        }
    }

    private void fail(MergeEntry entry, String reason) {
        if (entry.cause == Cause.AUTO) {
            auto.failed(entry.target);
        }
        table.fail(entry, reason);
    }

    private boolean pays(MergeEntry entry, AdapterWeights adapter, List<Site> sites) throws InterruptedException {
        table.enter(entry, State.MEASURING);
        StepPace pace = pace(entry);
        try (MergedAdapter sample = MergedAdapter.fold(adapter, AutoMerge.sample(sites), base, kernels, options.precision(), pace)) {
            double cost = (double) pace.worked() * MergedAdapter.elements(sites, base) / Math.max(sample.elements(), 1);
            boolean pays = auto.pays(entry, adapter, sample.weights(), cost);
            entry.done = 0;
            return pays;
        }
    }

    private StepPace pace(MergeEntry entry) {
        return new StepPace(options.load(), busy, () -> entry.givenUp || closed, done -> entry.done = done);
    }

    /** Follows the mode, and the versions of what is merged. */
    private void follow() {
        table.follow();
        for (MergeEntry entry : table.entries()) {
            if (entry.state == State.MERGED && entry.copy.lease.retired()) {
                if (entry.cause == Cause.AUTO) {
                    table.drop(entry);
                } else {
                    table.renew(entry);
                }
            } else if (entry.state == State.FAILED && entry.cause == Cause.PINNED && entry.age().compareTo(RETRY) > 0) {
                table.again(entry);
            }
        }
    }

    /** Ends the work and releases all copies. No step may be computed any more. */
    @Override
    public void close() {
        closed = true;
        thread.interrupt();
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        table.takeAll().forEach(MergedCopy::close);
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
