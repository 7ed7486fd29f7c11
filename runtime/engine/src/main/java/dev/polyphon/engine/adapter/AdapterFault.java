package dev.polyphon.engine.adapter;

import java.io.IOException;

/** Why an adapter cannot be used: its files, its options, or how it fits the base. The message is meant for its owner. */
public sealed class AdapterFault extends IOException permits TaskFault {
    private static final long serialVersionUID = 1;

    public AdapterFault(String message) {
        super(message);
    }
}
