package dev.polyphon.engine.schedule.merge;

import dev.polyphon.engine.model.AdapterPlan;
import dev.polyphon.engine.model.AdapterPlan.Segment;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.Decoder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Times the linear layers of one layer with an adapter merged and unmerged, in the kinds of steps that it takes part in. One run of one layer is done after
 * each step, so that a step is held up by one layer's share of its time, and the two forms take turns, so that both meet the same weather.
 */
final class Rehearsal {
    private static final int WARM_UP = 2;
    private static final int RUNS = 9;

    private record Take(AdapterPlan plan, int rows) {}

    private final int layer;
    private final List<Take> takes = new ArrayList<>();
    private final long[][] nanos;
    private final CompletableFuture<double[]> result = new CompletableFuture<>();
    private int done;

    /**
     * @param layer a layer that both forms change
     * @param kinds of steps
     * @param mostRows of a step
     */
    Rehearsal(int layer, AdapterWeights unmerged, AdapterWeights merged, List<Demand.Steps> kinds, int mostRows) {
        this.layer = layer;
        for (Demand.Steps kind : kinds) {
            int rows = Math.min(kind.rows(), mostRows);
            int own = Math.min(kind.own(), rows);
            for (AdapterWeights form : List.of(unmerged, merged)) {
                takes.add(new Take(new AdapterPlan(List.of(new Segment(form, 0, own))), rows));
            }
        }
        nanos = new long[takes.size()][WARM_UP + RUNS];
    }

    /** For each kind of step, the nanoseconds that the merged form saves in the layer; below 0 for what it costs. */
    CompletableFuture<double[]> result() {
        return result;
    }

    /** Does one run, on the step loop's thread, as long as there are runs to do. */
    synchronized void run(Decoder decoder) {
        if (result.isDone()) {
            return;
        }
        int take = done % takes.size();
        long start = System.nanoTime();
        try {
            decoder.rehearse(layer, takes.get(take).plan, takes.get(take).rows);
        } catch (RuntimeException e) {
            result.completeExceptionally(e);
            return;
        }
        nanos[take][done / takes.size()] = System.nanoTime() - start;
        if (++done == takes.size() * (WARM_UP + RUNS)) {
            double[] saved = new double[takes.size() / 2];
            for (int i = 0; i < saved.length; i++) {
                saved[i] = median(nanos[2 * i]) - median(nanos[2 * i + 1]);
            }
            result.complete(saved);
        }
    }

    /** Ends it: nothing runs any more when this returns, so that the forms may be released. */
    synchronized void end() {
        result.cancel(false);
    }

    private static double median(long[] runs) {
        long[] sorted = Arrays.copyOfRange(runs, WARM_UP, runs.length);
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }
}
