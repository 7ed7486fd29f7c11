package dev.polyphon.server.observe;

import io.prometheus.metrics.core.metrics.StatefulMetric;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.LongSupplier;

/**
 * Bounds the values of a label: the names that are asked for most stand for themselves, the rest are {@code other}. Places are taken as names come;
 * when there are none left, a name that was asked for twice as often of late as one that has a place takes it over, and the series of the one that lost
 * it are dropped. May be used from any thread; looking a name up takes no lock.
 */
final class TopLabels {
    static final String OTHER = "other";

    /** Time between two reviews of who has a place. What was counted before is worth half after each. */
    private static final long REVIEW_NANOS = 60_000_000_000L;

    /** What a place is worth: how much more often another name must come to take it over. */
    private static final double HELD = 2;

    private record Bound(StatefulMetric<?, ?> metric, int label) {}

    private final int most;
    private final LongSupplier clock;
    private final Set<String> shown = ConcurrentHashMap.newKeySet();
    private final Map<String, LongAdder> counts = new ConcurrentHashMap<>();
    private final Map<String, Double> weights = new HashMap<>();
    private final List<Bound> metrics = new CopyOnWriteArrayList<>();
    private volatile boolean full;
    private volatile long version;
    private volatile long next;

    TopLabels(int most) {
        this(most, System::nanoTime);
    }

    TopLabels(int most, LongSupplier clock) {
        this.most = most;
        this.clock = clock;
        this.full = most == 0;
        this.next = clock.getAsLong() + REVIEW_NANOS;
    }

    /** Drops the metric's series of names that lose their place; {@code label} is the index of the label among the metric's. */
    <M extends StatefulMetric<?, ?>> M bind(M metric, int label) {
        metrics.add(new Bound(metric, label));
        return metric;
    }

    /** The label for a name; the empty name takes no place. */
    String of(String name) {
        if (name.isEmpty() || shown.contains(name)) {
            return name;
        }
        return full ? OTHER : take(name);
    }

    /** Changes when names gain or lose their places, and before and after series are dropped. */
    long version() {
        return version;
    }

    /** The names that stand for themselves now. */
    Set<String> shown() {
        return Set.copyOf(shown);
    }

    private synchronized String take(String name) {
        if (shown.size() < most) {
            shown.add(name);
            version++;
        }
        full = shown.size() >= most;
        return shown.contains(name) ? name : OTHER;
    }

    /** Counts a request for a name. */
    void count(String name) {
        if (!name.isEmpty()) {
            counts.computeIfAbsent(name, _ -> new LongAdder()).increment();
        }
        if (clock.getAsLong() - next >= 0) {
            review();
        }
    }

    private synchronized void review() {
        long now = clock.getAsLong();
        if (now - next < 0) {
            return;
        }
        next = now + REVIEW_NANOS;
        weights.replaceAll((_, weight) -> weight / 2);
        counts.forEach((name, count) -> weights.merge(name, (double) count.sumThenReset(), Double::sum));
        counts.values().removeIf(count -> count.sum() == 0);
        weights.values().removeIf(weight -> weight < 1);
        if (full) {
            var ranked = new ArrayList<>(weights.keySet());
            shown.stream().filter(name -> !weights.containsKey(name)).forEach(ranked::add);
            ranked.sort((a, b) -> Double.compare(rank(b), rank(a)));
            var chosen = new HashSet<>(ranked.subList(0, Math.min(most, ranked.size())));
            shown.retainAll(chosen);
            shown.addAll(chosen);
        }
        version++;
        for (Bound bound : metrics) {
            bound.metric.removeIf(values -> {
                String value = values.get(bound.label);
                return !value.isEmpty() && !value.equals(OTHER) && !shown.contains(value);
            });
        }
        version++;
    }

    private double rank(String name) {
        return weights.getOrDefault(name, 0.0) * (shown.contains(name) ? HELD : 1);
    }
}
