package dev.polyphon.server.models;

import java.io.IOException;

/** A model cannot be had, or the catalogue of models is wrong. The message is for the person who started the server: it is complete without a stack trace. */
public final class ModelStoreException extends IOException {
    private static final long serialVersionUID = 1;

    public ModelStoreException(String message) {
        super(message);
    }

    public ModelStoreException(String message, Throwable cause) {
        super(message, cause);
    }
}
