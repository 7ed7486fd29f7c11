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

    /** A form that one segment needs at one module. */
    record Use(Form form, Segment segment, Projection projection) {}

    /**
     * What a group of modules needs.
     *
     * @param before forms that act before the low-rank deltas, in order
     * @param lowRank the low-rank deltas of all segments and modules
     * @param after forms that act after them
     */
    record Effects(List<Use> before, List<LowRank> lowRank, List<Use> after) {
        static final Effects NONE = new Effects(List.of(), List.of(), List.of());
    }

    /** No adapters at all. */
    public static final AdapterPlan NONE = new AdapterPlan(List.of());

    private final List<Segment> segments;
    private final List<Effects> prepared = new ArrayList<>();

    /** @param segments in order of rows, without overlap */
    public AdapterPlan(List<Segment> segments) {
        this.segments = List.copyOf(segments);
    }

    public List<Segment> segments() {
        return segments;
    }

    boolean touches(Module module) {
        for (Segment segment : segments) {
            if (segment.adapter.touches(module)) {
                return true;
            }
        }
        return false;
    }

    /** The plan for some of the rows, gathered in ascending order. */
    AdapterPlan gathered(int[] rows, int count) {
        List<Segment> gathered = new ArrayList<>();
        int at = 0;
        for (Segment segment : segments) {
            while (at < count && rows[at] < segment.firstRow) {
                at++;
            }
            int first = at;
            while (at < count && rows[at] < segment.firstRow + segment.rows) {
                at++;
            }
            if (at > first) {
                gathered.add(new Segment(segment.adapter, first, at - first));
            }
        }
        return gathered.isEmpty() ? NONE : new AdapterPlan(gathered);
    }

    Effects effects(ModuleGroup group) {
        if (segments.isEmpty()) {
            return Effects.NONE;
        }
        while (prepared.size() <= group.index()) {
            prepared.add(null);
        }
        Effects effects = prepared.get(group.index());
        if (effects == null) {
            effects = prepare(group);
            prepared.set(group.index(), effects);
        }
        return effects;
    }

    private Effects prepare(ModuleGroup group) {
        List<Use> before = new ArrayList<>();
        List<LowRank> lowRank = new ArrayList<>();
        List<Use> after = new ArrayList<>();
        for (Segment segment : segments) {
            for (int i = 0; i < group.modules().size(); i++) {
                Projection projection = group.projections().get(i);
                for (Form form : segment.adapter.at(group.layer(), group.modules().get(i), group.expert())) {
                    switch (form) {
                        case Form.LowRankDelta d ->
                            lowRank.add(new LowRank(segment.firstRow, segment.rows, d.a(), d.b(), d.scale(), projection.out()));
                        case Form f when f.stage() == Form.Stage.FINISH -> after.add(new Use(f, segment, projection));
                        case Form f -> before.add(new Use(f, segment, projection));
                    }
                }
            }
        }
        return before.isEmpty() && lowRank.isEmpty() && after.isEmpty()
                ? Effects.NONE
                : new Effects(List.copyOf(before), List.copyOf(lowRank), List.copyOf(after));
    }
}
