package dev.polyphon.engine.merge;

/** An affine map y = W x + b on the host, whose rows are worked out when they are asked for: a matrix need never be in memory as a whole. */
public interface LinearMap {
    int out();

    int in();

    /**
     * Writes rows of W, {@code in()} values each.
     *
     * @param first first of the rows
     * @param to receives {@code count * in()} values
     */
    void rows(int first, int count, float[] to);

    /** b, or null for none; not to be changed. */
    float[] bias();
}
