package dev.polyphon.server.observe;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** Bounds the label {@code adapter}: the first so many names stand for themselves, later ones are {@code other}. */
final class AdapterLabels {
    static final String OTHER = "other";

    private final int most;
    private final Set<String> names = ConcurrentHashMap.newKeySet();
    private volatile boolean full;

    AdapterLabels(int most) {
        this.most = most;
    }

    /** The label for an adapter; the empty one of the base alone takes no place. */
    String of(String adapter) {
        if (adapter.isEmpty() || names.contains(adapter)) {
            return adapter;
        }
        return full ? OTHER : take(adapter);
    }

    private synchronized String take(String adapter) {
        if (names.size() < most) {
            names.add(adapter);
        }
        full = names.size() >= most;
        return names.contains(adapter) ? adapter : OTHER;
    }
}
