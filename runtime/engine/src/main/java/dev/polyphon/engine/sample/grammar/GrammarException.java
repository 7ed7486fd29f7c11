package dev.polyphon.engine.sample.grammar;

/** A grammar that is wrong, too large, or not supported; the message is for the one who wrote it. */
public final class GrammarException extends RuntimeException {
    private static final long serialVersionUID = 1;

    GrammarException(String message) {
        super(message, null, false, false);
    }
}
