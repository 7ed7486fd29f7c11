package dev.polyphon.bench;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;
import java.util.Queue;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.locks.LockSupport;

/** Runs a workload against a server, a virtual thread for each request. */
final class Load {
    private final Target target;
    private final String base;
    private final List<String> adapters;
    private final AdapterField field;
    private final long seed;

    /** @param adapters those to take, in order; workloads with fewer take the first of them */
    Load(Target target, String base, List<String> adapters, AdapterField field, long seed) {
        this.target = target;
        this.base = base;
        this.adapters = adapters;
        this.field = field;
        this.seed = seed;
    }

    /** Sends all requests of the workload and waits for their answers. */
    Report run(Workload workload) throws InterruptedException {
        if (workload.adapters() > adapters.size()) {
            throw new IllegalArgumentException(workload.name() + " needs " + workload.adapters() + " adapters; the server has " + adapters.size()
                    + (adapters.isEmpty() ? "" : " (" + String.join(", ", adapters) + ")"));
        }
        Queue<Sample> samples = new ConcurrentLinkedQueue<>();
        var random = new Random(seed);
        Zipf popularity = workload.zipf() == 0 || workload.adapters() == 0 ? null : new Zipf(workload.adapters(), workload.zipf());
        var free = new Semaphore(workload.rate() > 0 ? Integer.MAX_VALUE : workload.concurrency());
        long start = System.nanoTime();
        long due = start;
        try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            for (int i = 0; i < workload.requests(); i++) {
                if (workload.rate() > 0) {
                    due += (long) (exponential(random) / workload.rate() * 1e9);
                    while (System.nanoTime() < due) {
                        LockSupport.parkNanos(due - System.nanoTime());
                    }
                }
                free.acquire();
                ObjectNode body = body(workload, i, popularity == null ? i % Math.max(1, workload.adapters()) : popularity.next(random));
                threads.submit(() -> {
                    try {
                        samples.add(target.complete(body));
                    } catch (InterruptedException e) {
                        Thread.currentThread().interrupt();
                    } finally {
                        free.release();
                    }
                });
            }
        }
        return new Report(workload, (System.nanoTime() - start) / 1e9, List.copyOf(samples));
    }

    /** Time to the next of random arrivals, with a mean of 1 (a Poisson process). */
    static double exponential(Random random) {
        return -Math.log(1 - random.nextDouble());
    }

    private ObjectNode body(Workload workload, int i, int adapter) {
        ObjectNode body = Target.body(base, new Prompts(seed).prompt(i, workload.promptTokens()), workload.newTokens());
        if (workload.adapters() > 0) {
            field.name(body, adapters, adapter);
        }
        return body;
    }
}
