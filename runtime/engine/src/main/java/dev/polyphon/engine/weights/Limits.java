package dev.polyphon.engine.weights;

/**
 * Bounds on what a file may declare. What a reader keeps on the heap is a multiple of what stands in the file, so a file made to be large where
 * real ones are small could exhaust it. The bounds are far above the largest models published, and what they let through stays below some 200 MB.
 */
final class Limits {

    static final int TENSORS = 250_000;

    /** As in torch; GGUF has four. */
    static final int DIMENSIONS = 64;

    static final int METADATA = 100_000;

    /** The reference implementation's bound on the header of a safetensors file; here also for an index. */
    static final int HEADER_BYTES = 100_000_000;

    static final int ZIP_ENTRIES = 300_000;
    static final int ZIP_NAME_BYTES = 1024;

    static final int PICKLE_BYTES = 64 << 20;

    /** A pickled tensor takes about 25. */
    static final int PICKLE_OPCODES = 2_000_000;

    private Limits() {}
}
