package dev.polyphon.engine.schedule;

/** A sequence's part in a step: the rows of its positions {@code from} to {@code from + rows - 1}. */
public record Work(Sequence sequence, int from, int rows) {

    /** Whether the last row's logits choose the next token. */
    public boolean samples() {
        return from + rows == sequence.length();
    }

    /** The first of the sequence's blocks that is written to. */
    int firstBlock(int blockSize) {
        return from == sequence.given() ? 0 : from / blockSize;
    }
}
