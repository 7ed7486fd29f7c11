package dev.polyphon.engine.model;

/** One layer's weights; what the architecture does not have is null. */
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
        Linear gate,
        Linear up,
        Linear down,
        Norm postMlpNorm) {}
