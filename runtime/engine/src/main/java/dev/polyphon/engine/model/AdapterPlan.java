package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.LowRank;
import dev.polyphon.engine.backend.Projection;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * Which rows of a step use which adapter. Rows without one are in no segment and cost nothing.
 *
 * <p>What each group of modules has to do is worked out once and kept: while the same sequences decode on, step after step uses the same plan.
 */
public final class AdapterPlan {

    /** Consecutive rows of one adapter. */
    public record Segment(AdapterWeights adapter, int firstRow, int rows) {
        public Segment {
            Objects.requireNonNull(adapter);
        }
    }

    /** No adapters at all. */
    public static final AdapterPlan NONE = new AdapterPlan(List.of());

    private final List<Segment> segments;
    private final List<List<LowRank>> prepared = new ArrayList<>();

    /** @param segments in order of rows, without overlap */
    public AdapterPlan(List<Segment> segments) {
        this.segments = List.copyOf(segments);
    }

    public List<Segment> segments() {
        return segments;
    }

    /** The low-rank deltas of a group of modules that share an input, one step's worth. */
    List<LowRank> lowRank(ModuleGroup group) {
        if (segments.isEmpty()) {
            return List.of();
        }
        while (prepared.size() <= group.index()) {
            prepared.add(null);
        }
        List<LowRank> items = prepared.get(group.index());
        if (items == null) {
            items = prepare(group);
            prepared.set(group.index(), items);
        }
        return items;
    }

    private List<LowRank> prepare(ModuleGroup group) {
        List<LowRank> items = new ArrayList<>();
        for (Segment segment : segments) {
            for (int i = 0; i < group.modules().size(); i++) {
                Form form = segment.adapter.at(group.layer(), group.modules().get(i));
                if (form == null) {
                    continue;
                }
                Projection projection = group.projections().get(i);
                switch (form) {
                    case Form.LowRankDelta d ->
                        items.add(new LowRank(segment.firstRow, segment.rows, d.a(), d.b(), d.scale(), projection.out()));
                }
            }
        }
        return List.copyOf(items);
    }
}
