package dev.polyphon.engine.schedule.merge;

import dev.polyphon.engine.merge.MergedAdapter;
import dev.polyphon.engine.model.AdapterPlan.Segment;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Decoder;
import dev.polyphon.engine.model.Site;
import dev.polyphon.runtime.MergeInfo.Cause;
import dev.polyphon.runtime.MergeInfo.State;
import dev.polyphon.runtime.MergeMode;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.WeakHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Mode {@code auto}: counts what adapters are asked for, has the step loop time a layer of the one that is asked for most in both forms, and queues what pays.
 * The step loop's thread calls {@link #after}, the merging thread all else.
 */
final class AutoMerge {
    private static final Logger LOG = LoggerFactory.getLogger(AutoMerge.class);

    /** How long steps are waited for beside which a layer can be timed; a window if that is longer. */
    private static final long LEAST_PATIENCE = 5_000_000_000L;

    private final MergeTable table;
    private final Checkpoint base;
    private final long windowNanos;
    private final int mostRows;
    private final MergePolicy policy;
    private final Demand demand = new Demand();
    /** What the adapters in memory are asked for as. */
    private final Map<AdapterWeights, MergeTarget> targets = Collections.synchronizedMap(new WeakHashMap<>());
    private Demand.Window window = new Demand.Window(0, Map.of());
    private volatile Rehearsal rehearsal;

    /** @param mostRows of a step */
    AutoMerge(MergeOptions options, MergeTable table, Checkpoint base, int mostRows) {
        this.table = table;
        this.base = base;
        this.mostRows = mostRows;
        windowNanos = options.window().toNanos();
        policy = new MergePolicy(options.share(), options.gain(), options.window());
    }

    /** An adapter is used by a request. */
    void used(AdapterWeights unmerged, MergeTarget target) {
        targets.put(unmerged, target);
    }

    /** A step was computed. */
    void after(Decoder decoder, int rows, List<Segment> segments, long nanos) {
        demand.count(rows, segments, nanos);
        Rehearsal current = rehearsal;
        if (current != null) {
            current.run(decoder);
        }
    }

    /** Ends a window: times again what was merged for its own demand, and queues the next candidate. */
    void review() {
        window = demand.take(form -> {
            MergedCopy copy = table.copyOf(form);
            return copy == null ? form : copy.unmerged();
        });
        Map<MergeTarget, Demand.Part> parts = new HashMap<>();
        Map<MergeTarget, Double> shares = new HashMap<>();
        window.parts().forEach((weights, part) -> {
            MergeTarget target = targets.get(weights);
            if (target != null) {
                parts.put(target, part);
                shares.merge(target, part.share(), Double::sum);
            }
        });
        policy.window(shares, System.nanoTime());
        for (MergeEntry entry : table.entries()) {
            if (entry.cause == Cause.AUTO && entry.state == State.MERGED) {
                reconsider(entry, parts.getOrDefault(entry.target, Demand.Part.NONE));
            }
        }
        if (table.mode() instanceof MergeMode.Auto) {
            long now = System.nanoTime();
            shares.keySet().stream()
                    .filter(target -> policy.candidate(target, now) && table.find(target).isEmpty())
                    .max(Comparator.comparing(shares::get))
                    .ifPresent(target -> table.add(target, Cause.AUTO));
        }
    }

    private void reconsider(MergeEntry entry, Demand.Part part) {
        double saving = part.steps().isEmpty() ? 0 : saving(entry, entry.copy.unmerged(), entry.copy.adapter.weights(), part);
        if (!Double.isNaN(saving) && !policy.keeps(entry.target, part.share(), saving, System.nanoTime())) {
            LOG.info("adapter {} is unmerged: it has {} of the rows, and being merged saves {} of the time", entry.target, percent(part.share()),
                    percent(saving));
            table.drop(entry);
        }
    }

    /**
     * Times a layer of a candidate, to tell whether folding the rest is worth it.
     *
     * @param sample the adapter with that layer merged
     * @param costNanos what making the whole copy takes
     */
    boolean pays(MergeEntry entry, AdapterWeights adapter, AdapterWeights sample, double costNanos) {
        double saving = saving(entry, adapter, sample, window.part(adapter));
        boolean pays = policy.pays(entry.target, Double.isNaN(saving) ? -1 : saving, costNanos, System.nanoTime());
        if (!pays) {
            LOG.info("adapter {} is not merged: that would save {} of the time, and takes {} ms", entry.target, percent(saving), Math.round(costNanos / 1e6));
        }
        return pays;
    }

    /** A merge of this cause failed. */
    void failed(MergeTarget target) {
        policy.ended(target, System.nanoTime());
    }

    private static String percent(double part) {
        return Double.isNaN(part) ? "an unknown part" : "%.1f %%".formatted(100 * part);
    }

    /** The layer that is timed for all. */
    static List<Site> sample(List<Site> sites) {
        List<Integer> layers = sites.stream().map(Site::layer).filter(layer -> layer >= 0).distinct().toList();
        return layers.isEmpty() ? List.of() : sites.stream().filter(site -> site.layer() == layers.get(layers.size() / 2)).toList();
    }

    /** Part of the last window's step time that the merged form saves; NaN when it cannot be told. */
    private double saving(MergeEntry entry, AdapterWeights unmerged, AdapterWeights merged, Demand.Part part) {
        List<Site> sites = MergedAdapter.folded(unmerged);
        List<Site> layer = sample(sites);
        if (layer.isEmpty() || part.steps().isEmpty()) {
            return Double.NaN;
        }
        var timed = new Rehearsal(layer.getFirst().layer(), unmerged, merged, part.steps(), mostRows);
        rehearsal = timed;
        try {
            double[] saved = await(entry, timed);
            double nanos = 0;
            for (int i = 0; i < saved.length; i++) {
                nanos += saved[i] * part.steps().get(i).count();
            }
            double saving = nanos * MergedAdapter.elements(sites, base) / MergedAdapter.elements(layer, base) / Math.max(window.nanos(), 1);
            table.measured(entry, saving);
            return saving;
        } catch (TimeoutException e) {
            return Double.NaN;
        } finally {
            rehearsal = null;
            timed.end();
        }
    }

    private double[] await(MergeEntry entry, Rehearsal timed) throws TimeoutException {
        long end = System.nanoTime() + Math.max(windowNanos, LEAST_PATIENCE);
        while (true) {
            try {
                return timed.result().get(50, TimeUnit.MILLISECONDS);
            } catch (TimeoutException e) {
                if (entry.givenUp || System.nanoTime() - end > 0) {
                    throw e;
                }
            } catch (ExecutionException e) {
                throw new IllegalStateException("timing adapter " + entry.target + " failed", e.getCause());
            } catch (InterruptedException e) {
                throw new IllegalStateException("timing adapter " + entry.target + " was interrupted", e);
            }
        }
    }
}
