package dev.polyphon.engine.model;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.LowRank;
import dev.polyphon.engine.backend.Projection;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.backend.reference.ReferenceKernels;
import dev.polyphon.engine.model.AdapterPlan.Effects;
import dev.polyphon.engine.model.AdapterPlan.Pass;
import dev.polyphon.engine.model.AdapterPlan.Segment;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.TensorView;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Which weights a step applies to which rows. */
class AdapterPlanTest {
    private static final Site Q = new Site(0, Module.Q);

    @Test
    void rowsWithWeightsOfTheirOwnAreMultipliedWithThose() {
        try (Arena arena = Arena.ofConfined(); Kernels kernels = new ReferenceKernels()) {
            Weight base = kernels.weight(new TensorView("base", DType.F32, new long[] {4, 4}, arena.allocate(64)));
            Weight own = kernels.weight(new TensorView("own", DType.F32, new long[] {4, 4}, arena.allocate(64)));
            Weight thin = kernels.weight(new TensorView("thin", DType.F32, new long[] {4, 4}, arena.allocate(64)));
            Tensor q = kernels.tensor(99, 4);
            Tensor k = kernels.tensor(99, 4);
            Form.InputScale overwritten = new Form.InputScale(kernels.tensor(1, 4));
            Form.LowRankDelta delta = new Form.LowRankDelta(thin, thin, 1);
            AdapterWeights replacing = new AdapterWeights("replacing", 1, Map.of(Q, List.of(overwritten, new Form.Replacement(own, null), delta)), null, new int[0]);
            AdapterWeights adding = new AdapterWeights("adding", 1, Map.of(Q, delta));
            List<Projection> both = List.of(new Projection(base, null, q), new Projection(base, null, k));
            List<Projection> replaced = List.of(new Projection(own, null, q), new Projection(base, null, k));
            ModuleGroup group = new ModuleGroup(0, 0, -1, List.of(Module.Q, Module.K), both);

            Effects few = new AdapterPlan(List.of(new Segment(replacing, 2, 2), new Segment(replacing, 4, 1), new Segment(adding, 6, 2))).effects(group);
            assertThat(few.lowRank()).hasSize(3);
            assertThat(few.passes()).as("the base's weights are read once").containsExactly(
                    new Pass(0, -1, both, few.lowRank().subList(2, 3)), new Pass(2, 5, replaced, few.lowRank().subList(0, 2)));
            assertThat(few.before()).as("what the replacement overwrites").isEmpty();

            Effects many = new AdapterPlan(List.of(new Segment(adding, 1, 1), new Segment(replacing, 2, 50), new Segment(replacing, 60, 1), new Segment(adding, 70, 2)))
                    .effects(group);
            assertThat(many.passes()).as("many rows are not multiplied with the base's").containsExactly(
                    new Pass(0, 2, both, many.lowRank().subList(0, 1)), new Pass(52, -1, both, many.lowRank().subList(3, 4)),
                    new Pass(2, 52, replaced, many.lowRank().subList(1, 2)), new Pass(60, 61, replaced, many.lowRank().subList(2, 3)));

            assertThat(new AdapterPlan(List.of(new Segment(adding, 0, 3))).effects(group).passes()).as("all rows at once").isEmpty();
        }
    }

    @Test
    void deltasWaitForWhatActsBeforeInTheirOwnSegmentOnly() {
        try (Arena arena = Arena.ofConfined(); Kernels kernels = new ReferenceKernels()) {
            Weight thin = kernels.weight(new TensorView("thin", DType.F32, new long[] {4, 4}, arena.allocate(64)));
            Form.LowRankDelta delta = new Form.LowRankDelta(thin, thin, 1);
            AdapterWeights adding = new AdapterWeights("adding", 1, Map.of(Q, delta));
            AdapterWeights scaling = new AdapterWeights("scaling", 1, Map.of(Q, List.of(new Form.InputScale(kernels.tensor(1, 4)), delta)), null, new int[0]);
            ModuleGroup group = new ModuleGroup(0, 0, -1, List.of(Module.Q), List.of(new Projection(thin, null, kernels.tensor(9, 4))));

            Effects effects = new AdapterPlan(List.of(new Segment(adding, 0, 1), new Segment(scaling, 1, 1), new Segment(adding, 2, 1))).effects(group);
            assertThat(effects.lowRank()).extracting(LowRank::firstRow).containsExactly(0, 2);
            assertThat(effects.late()).extracting(LowRank::firstRow).containsExactly(1);
            assertThat(effects.before()).hasSize(1);
        }
    }
}
