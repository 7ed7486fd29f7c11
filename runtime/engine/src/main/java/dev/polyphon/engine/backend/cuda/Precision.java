package dev.polyphon.engine.backend.cuda;

/** How exactly a GPU multiplies. */
public enum Precision {
    /** Activations, keys, values and products in f32. */
    F32,
    /** Inputs of products, keys and values in bf16 (where weights are of another type than bf16, inputs in tf32), for the tensor cores; sums in f32. */
    BF16
}
