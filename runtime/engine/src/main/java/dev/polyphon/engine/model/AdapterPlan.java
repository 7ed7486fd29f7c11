package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.LowRank;
import dev.polyphon.engine.backend.Projection;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;
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
     * Rows that a group's weights are applied to at once.
     *
     * @param end past the last row; -1 for the end of the batch
     * @param projections with the base's weights, or what an adapter has in their place
     * @param lowRank the low-rank deltas of these rows
     */
    record Pass(int first, int end, List<Projection> projections, List<LowRank> lowRank) {}

    /**
     * What a group of modules needs.
     *
     * @param passes in order of rows, when some rows have other weights than the base's; empty when all have the base's
     * @param before forms that act before the low-rank deltas, in order
     * @param lowRank the low-rank deltas of all segments and modules
     * @param after forms that act after them
     */
    record Effects(List<Pass> passes, List<Use> before, List<LowRank> lowRank, List<Use> after) {
        static final Effects NONE = new Effects(List.of(), List.of(), List.of(), List.of());
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
                List<Form> forms = forms(segment, group, i);
                for (Form form : forms.subList(replacement(forms) + 1, forms.size())) {
                    switch (form) {
                        case Form.LowRankDelta d ->
                            lowRank.add(new LowRank(segment.firstRow, segment.rows, d.a(), d.b(), d.scale(), projection.out()));
                        case Form f when f.stage() == Form.Stage.FINISH -> after.add(new Use(f, segment, projection));
                        case Form f -> before.add(new Use(f, segment, projection));
                    }
                }
            }
        }
        List<Pass> passes = passes(group, lowRank);
        return passes.isEmpty() && before.isEmpty() && lowRank.isEmpty() && after.isEmpty()
                ? Effects.NONE
                : new Effects(passes, List.copyOf(before), List.copyOf(lowRank), List.copyOf(after));
    }

    private static List<Form> forms(Segment segment, ModuleGroup group, int module) {
        return segment.adapter.at(group.layer(), group.modules().get(module), group.expert());
    }

    /** Where the form stands that puts another weight in the place of the base's, which makes those before it needless; -1 for nowhere. */
    private static int replacement(List<Form> forms) {
        for (int i = forms.size() - 1; i >= 0; i--) {
            if (forms.get(i) instanceof Form.Replacement) {
                return i;
            }
        }
        return -1;
    }

    /** Each row is multiplied once: with its adapter's own weight, where it has one, or with the base's. */
    private List<Pass> passes(ModuleGroup group, List<LowRank> lowRank) {
        List<Pass> passes = new ArrayList<>();
        int done = 0;
        for (Segment segment : segments) {
            List<Projection> own = new ArrayList<>();
            for (int i = 0; i < group.modules().size(); i++) {
                Projection base = group.projections().get(i);
                List<Form> forms = forms(segment, group, i);
                int at = replacement(forms);
                own.add(at >= 0 && forms.get(at) instanceof Form.Replacement(Weight weight, Tensor bias) ? new Projection(weight, bias, base.out()) : base);
            }
            if (own.equals(group.projections())) {
                continue;
            }
            if (done < segment.firstRow) {
                passes.add(pass(done, segment.firstRow, group.projections(), lowRank));
            }
            done = segment.firstRow + segment.rows;
            Pass last = passes.isEmpty() ? null : passes.getLast();
            if (last != null && last.end == segment.firstRow && last.projections.equals(own)) {
                passes.set(passes.size() - 1, pass(last.first, done, last.projections, lowRank));
            } else {
                passes.add(pass(segment.firstRow, done, List.copyOf(own), lowRank));
            }
        }
        if (!passes.isEmpty()) {
            passes.add(pass(done, -1, group.projections(), lowRank));
        }
        return List.copyOf(passes);
    }

    private static Pass pass(int first, int end, List<Projection> projections, List<LowRank> lowRank) {
        return new Pass(first, end, projections, lowRank.stream().filter(delta -> delta.firstRow() >= first && (end < 0 || delta.firstRow() < end)).toList());
    }
}
