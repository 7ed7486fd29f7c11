package dev.polyphon.engine.backend;

import java.util.ArrayList;
import java.util.List;

/** Closes what was made one after the other, in reverse order. */
public final class Owned implements AutoCloseable {
    private final List<AutoCloseable> resources = new ArrayList<>();

    public <T extends AutoCloseable> T own(T resource) {
        resources.add(resource);
        return resource;
    }

    /** Closes everything, also when some of it fails to close; the first failure is thrown at the end. Closing again does nothing. */
    @Override
    public void close() {
        IllegalStateException failure = null;
        for (AutoCloseable resource : resources.reversed()) {
            try {
                resource.close();
            } catch (Exception e) {
                if (failure == null) {
                    failure = new IllegalStateException("cannot release " + resource, e);
                } else {
                    failure.addSuppressed(e);
                }
            }
        }
        resources.clear();
        if (failure != null) {
            throw failure;
        }
    }
}
