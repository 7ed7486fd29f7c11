package dev.polyphon.engine.schedule;

import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.Scheduling;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Drives the engine's own intake, scheduler, block pool and prefix cache by a clock that a modelled machine advances; nothing in it is random. */
final class Simulation {

    /**
     * What a step takes, in milliseconds.
     *
     * @param step whatever is in it
     * @param row for each row
     * @param adapter for each distinct adapter
     */
    record Machine(double step, double row, double adapter) {
        long nanos(List<Work> plan) {
            Set<Object> adapters = java.util.Collections.newSetFromMap(new IdentityHashMap<>());
            int rows = 0;
            for (Work work : plan) {
                rows += work.rows();
                if (work.sequence().adapter() != null) {
                    adapters.add(work.sequence().adapter());
                }
            }
            return (long) (1e6 * (step + row * rows + adapter * adapters.size()));
        }
    }

    record Server(Machine machine, Scheduler.Limits limits, int blocks, int queueLimit, SchedulePolicy policy) {
        Server with(SchedulePolicy other) {
            return new Server(machine, limits, blocks, queueLimit, other);
        }

        Server with(int otherBlocks) {
            return new Server(machine, limits, otherBlocks, queueLimit, policy);
        }
    }

    /** How a request ended. */
    enum End { DONE, REFUSED, EXPIRED }

    /**
     * What became of a request; times in seconds, from its arrival.
     *
     * @param first to its first token; NaN when there was none
     */
    record Fate(Arrival arrival, End end, double first, double total, int cached) {}

    /**
     * What happened.
     *
     * @param gaps seconds between tokens that follow each other in a sequence
     * @param adapters distinct adapters in a step, on average
     */
    record Outcome(List<Fate> fates, List<Double> gaps, int preemptions, double adapters, double seconds) {}

    private static final class Request {
        final Arrival arrival;
        long first = -1;
        long last;

        Request(Arrival arrival) {
            this.arrival = arrival;
        }
    }

    private final Server server;
    private final Scheduler scheduler;
    private final Intake intake;
    private final Map<Sequence, Request> requests = new IdentityHashMap<>();
    private final Map<Integer, AdapterWeights> adapters = new HashMap<>();
    private final List<Fate> fates = new ArrayList<>();
    private final List<Double> gaps = new ArrayList<>();
    private int preemptions;
    private long now;

    private Simulation(Server server) {
        this.server = server;
        BlockPool blocks = new BlockPool(server.blocks);
        intake = new Intake(server.queueLimit, server.policy.tenantQueueLimit(), () -> now);
        scheduler = new Scheduler(server.limits, server.policy, blocks, new PrefixCache(blocks, server.limits.blockSize()), new Scheduler.Listener() {
            @Override
            public void admitted(Sequence sequence) {}

            @Override
            public void preempted(Sequence sequence) {
                preemptions++;
            }
        });
    }

    /** Serves a trace to its end. */
    static Outcome run(Server server, List<Arrival> trace) {
        return new Simulation(server).run(trace);
    }

    private Outcome run(List<Arrival> trace) {
        int next = 0;
        long steps = 0;
        long distinct = 0;
        while (next < trace.size() || !scheduler.idle()) {
            if (scheduler.idle()) {
                now = Math.max(now, trace.get(next).time());
            }
            for (; next < trace.size() && trace.get(next).time() <= now; next++) {
                arrive(trace.get(next));
            }
            for (Sequence late : scheduler.overdue(now)) {
                scheduler.remove(late);
                end(late, End.EXPIRED);
            }
            List<Work> plan = scheduler.plan();
            if (plan.isEmpty()) {
                continue;
            }
            long nanos = server.machine.nanos(plan);
            now += nanos;
            plan.forEach(this::compute);
            scheduler.computed(nanos);
            steps++;
            distinct += plan.stream().map(work -> work.sequence().adapter()).distinct().count();
        }
        return new Outcome(fates, gaps, preemptions, (double) distinct / Math.max(1, steps), seconds(now));
    }

    private void arrive(Arrival arrival) {
        try {
            intake.accept(arrival.scheduling().tenant(), 1);
        } catch (RuntimeFault full) {
            fates.add(new Fate(arrival, End.REFUSED, Double.NaN, 0, 0));
            return;
        }
        Duration maxWait = server.policy.maxWait();
        Scheduling scheduling = maxWait == null ? arrival.scheduling() : arrival.scheduling().withMaxWait(maxWait);
        String client = server.policy.fairness() == Fairness.NONE ? "" : scheduling.tenant();
        AdapterWeights adapter = arrival.adapter() < 0 ? null : adapters.computeIfAbsent(arrival.adapter(), n -> new AdapterWeights("a" + n, 1, Map.of()));
        Standing standing = Standing.of(scheduling, client, server.policy.prefixCache().scope(scheduling), arrival.time());
        Sequence sequence = new Sequence(arrival.prompt(), adapter, standing);
        requests.put(sequence, new Request(arrival));
        scheduler.add(sequence);
    }

    private void compute(Work work) {
        boolean samples = work.samples();
        Sequence sequence = work.sequence();
        sequence.advance(work.rows());
        if (!samples) {
            return;
        }
        scheduler.append(sequence, 1);
        Request request = requests.get(sequence);
        if (request.first < 0) {
            request.first = now;
        } else {
            gaps.add(seconds(now - request.last));
        }
        request.last = now;
        if (sequence.generated() == request.arrival.output()) {
            scheduler.remove(sequence);
            end(sequence, End.DONE);
        }
    }

    private void end(Sequence sequence, End end) {
        Request request = requests.remove(sequence);
        Arrival arrival = request.arrival;
        intake.end(arrival.scheduling().tenant(), 1);
        double first = request.first < 0 ? Double.NaN : seconds(request.first - arrival.time());
        fates.add(new Fate(arrival, end, first, seconds(now - arrival.time()), sequence.cachedTokens()));
    }

    private static double seconds(long nanos) {
        return (double) nanos / Arrival.SECOND;
    }

    /** The value below which so great a part of the values lies; NaN for none. */
    static double quantile(List<Double> values, double part) {
        double[] sorted = values.stream().mapToDouble(Double::doubleValue).sorted().toArray();
        return sorted.length == 0 ? Double.NaN : sorted[(int) Math.min(sorted.length - 1L, Math.round(part * (sorted.length - 1)))];
    }
}
