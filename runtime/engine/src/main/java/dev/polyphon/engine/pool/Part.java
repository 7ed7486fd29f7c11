package dev.polyphon.engine.pool;

import dev.polyphon.engine.pool.Registered.Version;
import dev.polyphon.runtime.AdapterId;

/** A version of an adapter. Told apart by its number: its hash and kind become known later. */
record Part(AdapterId id, long number, Version version) {
    Part(AdapterId id, Version version) {
        this(id, version.number(), version);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Part part && part.number == number && part.id.equals(id);
    }

    @Override
    public int hashCode() {
        return Long.hashCode(number);
    }
}
