package dev.polyphon.server.tenant;

import java.io.IOException;

/** The disk has no room for a change, of which nothing was written. */
public final class DiskFullException extends IOException {
    private static final long serialVersionUID = 1;

    DiskFullException(String message, Throwable cause) {
        super(message, cause);
    }
}
