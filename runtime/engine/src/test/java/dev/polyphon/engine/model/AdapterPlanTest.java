package dev.polyphon.engine.model;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.backend.Kernels;
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
    void rowsWithWeightsOfTheirOwnAreNotMultipliedWithTheBases() {
        try (Arena arena = Arena.ofConfined(); Kernels kernels = new ReferenceKernels()) {
            Weight base = kernels.weight(new TensorView("base", DType.F32, new long[] {4, 4}, arena.allocate(64)));
            Weight own = kernels.weight(new TensorView("own", DType.F32, new long[] {4, 4}, arena.allocate(64)));
            Weight thin = kernels.weight(new TensorView("thin", DType.F32, new long[] {4, 4}, arena.allocate(64)));
            Tensor q = kernels.tensor(9, 4);
            Tensor k = kernels.tensor(9, 4);
            Form.InputScale overwritten = new Form.InputScale(kernels.tensor(1, 4));
            Form.LowRankDelta delta = new Form.LowRankDelta(thin, thin, 1);
            AdapterWeights replacing = new AdapterWeights("replacing", 1, Map.of(Q, List.of(overwritten, new Form.Replacement(own, null), delta)), null, new int[0]);
            AdapterWeights adding = new AdapterWeights("adding", 1, Map.of(Q, delta));
            List<Projection> both = List.of(new Projection(base, null, q), new Projection(base, null, k));
            ModuleGroup group = new ModuleGroup(0, 0, -1, List.of(Module.Q, Module.K), both);

            Effects effects = new AdapterPlan(List.of(new Segment(replacing, 2, 2), new Segment(replacing, 4, 1), new Segment(adding, 6, 2))).effects(group);
            assertThat(effects.lowRank()).hasSize(3);
            assertThat(effects.passes()).containsExactly(
                    new Pass(0, 2, both, List.of()),
                    new Pass(2, 5, List.of(new Projection(own, null, q), new Projection(base, null, k)), effects.lowRank().subList(0, 2)),
                    new Pass(5, -1, both, effects.lowRank().subList(2, 3)));
            assertThat(effects.before()).as("what the replacement overwrites").isEmpty();

            assertThat(new AdapterPlan(List.of(new Segment(adding, 0, 3))).effects(group).passes()).as("all rows at once").isEmpty();
        }
    }
}
