package dev.polyphon.engine.backend.cuda;

import java.util.IdentityHashMap;
import java.util.Map;
import java.util.function.Function;

/** What was made of an object that never changes, for as long as it is asked for: the lists of a batch's adapters are the same ones step after step. */
final class Known<K, V> {
    private static final int MOST = 4096;

    private final Map<K, V> known = new IdentityHashMap<>();
    private final Function<K, V> maker;

    Known(Function<K, V> maker) {
        this.maker = maker;
    }

    V of(K key) {
        V value = known.get(key);
        if (value == null) {
            if (known.size() >= MOST) {
                known.clear();
            }
            value = maker.apply(key);
            known.put(key, value);
        }
        return value;
    }
}
