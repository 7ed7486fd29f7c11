package dev.polyphon.engine.pool;

import java.io.IOException;

/** Files on this machine are not any more what was written. */
final class DamagedCopyException extends IOException {
    private static final long serialVersionUID = 1;

    DamagedCopyException(String message) {
        super(message);
    }
}
