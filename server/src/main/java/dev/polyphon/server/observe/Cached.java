package dev.polyphon.server.observe;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.function.LongSupplier;

/**
 * Remembers what belongs to a key, since to find a metric's series by the texts of its labels takes longer than to count in it. What is remembered is forgotten when a version
 * changes, and when there is much of it. May be used from any thread.
 */
final class Cached<K, V> {
    private static final int MOST = 4096;

    private record Known<K, V>(long version, Map<K, V> values) {}

    private final Function<K, V> maker;
    private final LongSupplier version;
    private volatile Known<K, V> known = new Known<>(-1, Map.of());

    /** @param version from 0 on, told anew with every look */
    Cached(LongSupplier version, Function<K, V> maker) {
        this.version = version;
        this.maker = maker;
    }

    V of(K key) {
        long now = version.getAsLong();
        Known<K, V> current = known;
        if (current.version != now || current.values.size() > MOST) {
            current = new Known<>(now, new ConcurrentHashMap<>());
            known = current;
        }
        V value = current.values.get(key);
        if (value == null) {
            value = maker.apply(key);
            current.values.put(key, value);
        }
        return value;
    }
}
