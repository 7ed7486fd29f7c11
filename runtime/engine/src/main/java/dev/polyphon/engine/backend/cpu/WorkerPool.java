package dev.polyphon.engine.backend.cpu;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;

/**
 * A fixed set of threads, the caller among them, that shares out the pieces of one job after the other.
 *
 * <p>Pieces are taken from a shared cursor, so a thread whose core was taken away holds up one piece, not its share of the job, and a worker that
 * sleeps through a job is not waited for. Idle workers spin for a few microseconds, because the next job usually follows at once, then park.
 *
 * <p>{@link #run} is for one thread at a time, and not for pieces.
 */
final class WorkerPool implements AutoCloseable {

    /** One piece of a job. */
    @FunctionalInterface
    interface Work {
        /**
         * @param worker index of the thread, 0 for the caller: for scratch memory of its own
         * @param piece which piece
         */
        void run(int worker, int piece);
    }

    private static final VarHandle COUNTERS = MethodHandles.arrayElementVarHandle(int[].class);
    /** Places in a job's counters, a cache line and the one fetched with it apart. */
    private static final int CURSOR = 32;
    private static final int DONE = 64;
    private static final int COUNTERS_LENGTH = 96;
    /** How long the caller spins for the last pieces before it lets the scheduler have its core. */
    private static final long CALLER_SPIN_NANOS = 50_000;

    private static final class Job {
        final Work work;
        final int pieces;
        final Thread caller;
        final int[] counters = new int[COUNTERS_LENGTH];
        final AtomicReference<Throwable> failure = new AtomicReference<>();
        volatile boolean callerWaits;

        Job(Work work, int pieces, Thread caller) {
            this.work = work;
            this.pieces = pieces;
            this.caller = caller;
        }

        /** Runs pieces until none is left to take. */
        void help(int worker) {
            int piece = (int) COUNTERS.getAndAdd(counters, CURSOR, 1);
            while (piece < pieces) {
                try {
                    work.run(worker, piece);
                } catch (Throwable t) {
                    failure.compareAndSet(null, t);
                }
                int done = (int) COUNTERS.getAndAdd(counters, DONE, 1) + 1;
                if (done == pieces && callerWaits) {
                    LockSupport.unpark(caller);
                }
                piece = (int) COUNTERS.getAndAdd(counters, CURSOR, 1);
            }
        }

        boolean finished() {
            return (int) COUNTERS.getAcquire(counters, DONE) == pieces;
        }
    }

    private final class Worker extends Thread {
        private final int index;
        private Job seen;
        volatile boolean parked;

        Worker(int index, Job first) {
            super("polyphon-cpu-" + index);
            this.index = index;
            this.seen = first;
            setDaemon(true);
        }

        @Override
        public void run() {
            for (seen = next(); seen != null; seen = next()) {
                seen.help(index);
            }
        }

        /** Waits for a job other than the last one; null when the pool closes. */
        private Job next() {
            long start = System.nanoTime();
            while (true) {
                for (int i = 0; i < 64; i++) {
                    Job job = current;
                    if (job != seen) {
                        return job;
                    }
                    Thread.onSpinWait();
                }
                if (System.nanoTime() - start > spinNanos) {
                    parked = true;
                    // The flag is up before the last look, and run() publishes before it looks at the flag: one of the two sees the other.
                    if (current == seen) {
                        LockSupport.park(WorkerPool.this);
                    }
                    parked = false;
                }
            }
        }
    }

    private final long spinNanos;
    private final Worker[] workers;
    private volatile Job current = new Job(null, 0, null);

    /**
     * @param threads how many threads work, the caller included
     * @param spinNanos how long an idle worker spins before it parks
     */
    WorkerPool(int threads, long spinNanos) {
        if (threads < 1) {
            throw new IllegalArgumentException("a pool needs at least one thread, not " + threads);
        }
        this.spinNanos = spinNanos;
        workers = new Worker[threads - 1];
        for (int i = 0; i < workers.length; i++) {
            workers[i] = new Worker(i + 1, current);
            workers[i].start();
        }
    }

    /** Threads that work, the caller included. */
    int threads() {
        return workers.length + 1;
    }

    /**
     * Runs all pieces and returns when all are done. The first exception of a piece is thrown here, when no piece runs any more. One
     * piece, or one thread, wakes nobody.
     */
    void run(int pieces, Work work) {
        if (pieces <= 1 || workers.length == 0) {
            for (int i = 0; i < pieces; i++) {
                work.run(0, i);
            }
            return;
        }
        if (current == null) {
            throw new IllegalStateException("the worker pool is closed");
        }
        Job job = new Job(work, pieces, Thread.currentThread());
        current = job;
        wake(Math.min(pieces - 1, workers.length));
        job.help(0);
        awaitEnd(job);
        Throwable failure = job.failure.get();
        switch (failure) {
            case null -> {}
            case RuntimeException e -> throw e;
            case Error e -> throw e;
            default -> throw new IllegalStateException(failure);
        }
    }

    private void wake(int most) {
        for (int i = 0; i < most; i++) {
            if (workers[i].parked) {
                LockSupport.unpark(workers[i]);
            }
        }
    }

    private static void awaitEnd(Job job) {
        if (job.finished()) {
            return;
        }
        long start = System.nanoTime();
        while (!job.finished()) {
            Thread.onSpinWait();
            if (System.nanoTime() - start > CALLER_SPIN_NANOS) {
                job.callerWaits = true;
                while (!job.finished()) {
                    LockSupport.park(job);
                }
            }
        }
    }

    /** Ends the threads. Not while a job runs. */
    @Override
    public void close() {
        current = null;
        for (Worker w : workers) {
            LockSupport.unpark(w);
        }
        boolean interrupted = false;
        for (Worker w : workers) {
            while (w.isAlive()) {
                try {
                    w.join();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
