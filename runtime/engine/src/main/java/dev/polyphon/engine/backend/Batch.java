package dev.polyphon.engine.backend;

/**
 * The ragged rows of one step: a row is one token of one sequence, a sequence's rows are consecutive, and so are their positions.
 *
 * @param tokens id of each row
 * @param positions position of each row in its sequence, which is also where its key and value are stored
 * @param firstRow first row of each sequence, and the number of rows as last entry
 * @param blocks block table of each sequence: block {@code p / blockSize} holds position {@code p}; entries past the last position may be absent
 */
public record Batch(int[] tokens, int[] positions, int[] firstRow, int[][] blocks) {
    public int rows() {
        return firstRow[firstRow.length - 1];
    }

    public int sequences() {
        return firstRow.length - 1;
    }
}
