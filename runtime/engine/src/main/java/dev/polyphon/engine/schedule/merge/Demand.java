package dev.polyphon.engine.schedule.merge;

import dev.polyphon.engine.model.AdapterPlan.Segment;
import dev.polyphon.engine.model.AdapterWeights;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;

/** Counts which adapters the rows of the steps use. The step loop's thread counts, another one takes the counts. */
final class Demand {

    /**
     * Steps of one kind that an adapter took part in.
     *
     * @param rows of such a step, on average
     * @param own of them the adapter's
     */
    record Steps(long count, int rows, int own) {}

    /**
     * What an adapter had of a window.
     *
     * @param share of all rows
     * @param steps by whether others' rows were among them; without those that there were none of
     */
    record Part(double share, List<Steps> steps) {
        static final Part NONE = new Part(0, List.of());
    }

    /** A window's steps. @param nanos time of all of them */
    record Window(long nanos, Map<AdapterWeights, Part> parts) {
        Part part(AdapterWeights adapter) {
            return parts.getOrDefault(adapter, Part.NONE);
        }
    }

    private static final class Count {
        long pureSteps;
        long pureRows;
        long mixedSteps;
        long mixedRows;
        long mixedOwn;

        void add(Count other) {
            pureSteps += other.pureSteps;
            pureRows += other.pureRows;
            mixedSteps += other.mixedSteps;
            mixedRows += other.mixedRows;
            mixedOwn += other.mixedOwn;
        }

        Part part(long allRows) {
            List<Steps> steps = new ArrayList<>();
            if (pureSteps > 0) {
                int rows = (int) Math.ceilDiv(pureRows, pureSteps);
                steps.add(new Steps(pureSteps, rows, rows));
            }
            if (mixedSteps > 0) {
                int rows = (int) Math.ceilDiv(mixedRows, mixedSteps);
                steps.add(new Steps(mixedSteps, rows, (int) Math.min(rows, Math.ceilDiv(mixedOwn, mixedSteps))));
            }
            return new Part((double) (pureRows + mixedOwn) / Math.max(allRows, 1), steps);
        }
    }

    private final Map<AdapterWeights, Count> counts = new HashMap<>();
    private long rows;
    private long nanos;

    /** Counts a step. Segments of an adapter are side by side. */
    synchronized void count(int stepRows, List<Segment> segments, long stepNanos) {
        rows += stepRows;
        nanos += stepNanos;
        for (int i = 0; i < segments.size(); ) {
            AdapterWeights adapter = segments.get(i).adapter();
            int own = 0;
            for (; i < segments.size() && segments.get(i).adapter() == adapter; i++) {
                own += segments.get(i).rows();
            }
            Count count = counts.computeIfAbsent(adapter, _ -> new Count());
            if (own == stepRows) {
                count.pureSteps++;
                count.pureRows += own;
            } else {
                count.mixedSteps++;
                count.mixedRows += stepRows;
                count.mixedOwn += own;
            }
        }
    }

    /**
     * Ends a window and begins the next.
     *
     * @param unmerged gives the adapter that a merged form is of, and others as they are
     */
    synchronized Window take(UnaryOperator<AdapterWeights> unmerged) {
        Map<AdapterWeights, Count> byAdapter = new HashMap<>();
        counts.forEach((form, count) -> byAdapter.computeIfAbsent(unmerged.apply(form), _ -> new Count()).add(count));
        Map<AdapterWeights, Part> parts = new HashMap<>();
        byAdapter.forEach((adapter, count) -> parts.put(adapter, count.part(rows)));
        Window window = new Window(nanos, parts);
        counts.clear();
        rows = 0;
        nanos = 0;
        return window;
    }
}
