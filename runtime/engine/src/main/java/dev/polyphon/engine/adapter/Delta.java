package dev.polyphon.engine.adapter;

/**
 * What an adapter adds to the weight of one module, [out, in], fused modules as a whole.
 */
public sealed interface Delta {

    /** The change itself. */
    Matrix matrix();

    /** scale · B A, A [rank, in] and B [out, rank] as the adapter stores them. */
    record LowRank(Matrix a, Matrix b, double scale) implements Delta {
        @Override
        public Matrix matrix() {
            return b.times(a).times(scale);
        }
    }

    /** A change of no low rank. */
    record Dense(Matrix matrix) implements Delta {}
}
