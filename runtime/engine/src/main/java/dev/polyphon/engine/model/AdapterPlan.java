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
     * @param passes one after the other, when some rows have other weights than the base's; empty when all have the base's
     * @param lowRank the low-rank deltas that are added with the base's product: of all segments and modules but those with a form that acts before
     * @param before forms that act before the other low-rank deltas, in order
     * @param late those other deltas
     * @param after forms that act after them
     */
    record Effects(List<Pass> passes, List<LowRank> lowRank, List<Use> before, List<LowRank> late, List<Use> after) {
        static final Effects NONE = new Effects(List.of(), List.of(), List.of(), List.of(), List.of());
    }

    /** Rows with weights of their own that the base's pass leaves in: to compute them in vain is less than to read the base's weights once more. */
    private static final int FEW_ROWS = 16;

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
        List<LowRank> late = new ArrayList<>();
        List<Use> after = new ArrayList<>();
        for (Segment segment : segments) {
            for (int i = 0; i < group.modules().size(); i++) {
                Projection projection = group.projections().get(i);
                List<Form> all = forms(segment, group, i);
                List<Form> forms = all.subList(replacement(all) + 1, all.size());
                boolean waits = forms.stream().anyMatch(form -> form.stage().compareTo(Form.Stage.LOW_RANK) < 0);
                for (Form form : forms) {
                    switch (form) {
                        case Form.LowRankDelta d ->
                            (waits ? late : lowRank).add(new LowRank(segment.firstRow, segment.rows, d.a(), d.b(), d.scale(), projection.out()));
                        case Form f when f.stage() == Form.Stage.FINISH -> after.add(new Use(f, segment, projection));
                        case Form f -> before.add(new Use(f, segment, projection));
                    }
                }
            }
        }
        List<Pass> passes = passes(group, lowRank);
        return passes.isEmpty() && before.isEmpty() && lowRank.isEmpty() && late.isEmpty() && after.isEmpty()
                ? Effects.NONE
                : new Effects(passes, List.copyOf(lowRank), List.copyOf(before), List.copyOf(late), List.copyOf(after));
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

    /**
     * Rows with weights of an adapter's own are multiplied with those; all others with the base's, in as few passes as the long segments between them
     * allow. Few rows with weights of their own are multiplied with the base's first.
     */
    private List<Pass> passes(ModuleGroup group, List<LowRank> lowRank) {
        List<Pass> passes = new ArrayList<>();
        List<Pass> owns = new ArrayList<>();
        List<Segment> replaced = new ArrayList<>();
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
            replaced.add(segment);
            Pass last = owns.isEmpty() ? null : owns.getLast();
            int first = last != null && last.end == segment.firstRow && last.projections.equals(own) ? owns.removeLast().first : segment.firstRow;
            owns.add(new Pass(first, segment.firstRow + segment.rows, List.copyOf(own), within(lowRank, first, segment.firstRow + segment.rows)));
        }
        if (owns.isEmpty()) {
            return List.of();
        }
        List<LowRank> others = lowRank.stream().filter(delta -> replaced.stream().noneMatch(s -> s.firstRow == delta.firstRow())).toList();
        for (Pass own : owns) {
            if (own.end - own.first > FEW_ROWS) {
                if (done < own.first) {
                    passes.add(new Pass(done, own.first, group.projections(), within(others, done, own.first)));
                }
                done = own.end;
            }
        }
        passes.add(new Pass(done, -1, group.projections(), within(others, done, Integer.MAX_VALUE)));
        passes.addAll(owns);
        return List.copyOf(passes);
    }

    private static List<LowRank> within(List<LowRank> deltas, int first, int end) {
        return deltas.stream().filter(delta -> delta.firstRow() >= first && delta.firstRow() < end).toList();
    }
}
