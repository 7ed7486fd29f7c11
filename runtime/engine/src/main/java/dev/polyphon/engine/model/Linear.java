package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;

/** A linear layer's weight [out, in] and bias [1, out], which may be null. */
record Linear(Weight weight, Tensor bias) {}
