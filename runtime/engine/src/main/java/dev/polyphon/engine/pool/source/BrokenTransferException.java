package dev.polyphon.engine.pool.source;

import java.io.IOException;

/** The sender stopped before the end, or was not reached. Trying again may go on from there. */
final class BrokenTransferException extends IOException {
    private static final long serialVersionUID = 1;

    BrokenTransferException(String message) {
        super(message);
    }
}
