package dev.polyphon.engine.model;

import java.util.stream.IntStream;

/** Which rows of a fused matrix belong to one of the modules in it. */
final class FusedRows {
    private FusedRows() {}

    /** Matrices that hold query, key and value of the first head, then of the second, and so on (BLOOM, GPT-NeoX). */
    static int[] perHead(ArchitectureSpec spec, int part) {
        int dim = spec.headDim();
        return IntStream.range(0, spec.queryWidth()).map(r -> r / dim * 3 * dim + part * dim + r % dim).toArray();
    }

    /** Consecutive rows. */
    static int[] range(int first, int count) {
        return IntStream.range(first, first + count).toArray();
    }
}
