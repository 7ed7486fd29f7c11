package dev.polyphon.engine.schedule;

/** A sequence's part in a step: its tokens at positions {@code from} to {@code from + rows - 1}. */
record Work(Sequence sequence, int from, int rows) {

    /** Whether the last row's logits choose the next token. */
    boolean samples() {
        return from + rows == sequence.length();
    }
}
