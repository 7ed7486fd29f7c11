package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.Tensor;

/** A norm's weight and bias [1, width]; the bias may be null. */
record Norm(Tensor weight, Tensor bias) {}
