package dev.polyphon.engine.model;

import java.util.List;

/**
 * One layer's weights; what the architecture does not have is null.
 *
 * @param mlps one, or one for each expert
 */
record LayerWeights(
        Norm attentionNorm,
        Linear q,
        Linear k,
        Linear v,
        Linear o,
        Norm qNorm,
        Norm kNorm,
        Norm postAttentionNorm,
        Norm mlpNorm,
        List<Mlp> mlps,
        Linear router,
        Norm postMlpNorm) {

    /** @param gate null when the MLP has none */
    record Mlp(Linear gate, Linear up, Linear down) {}
}
