package dev.polyphon.engine.pool;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.function.LongPredicate;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * What nobody uses, kept for requests that wait to begin, by the tenant that asked for it first. A tenant may have all the room like that as long as nobody
 * else wants it: then it gives way to those who even so will have less. So tenants come to have alike; and since the most that any of the two has becomes less
 * each time, nothing goes back and forth. Guarded by the pool.
 */
final class Promises {
    private static final class Held {
        final LinkedHashSet<Resident> residents = new LinkedHashSet<>();
        long bytes;
    }

    private final Predicate<Resident> pinned;
    private final Map<String, Held> byTenant = new HashMap<>();

    /** @param pinned tells what never gives way */
    Promises(Predicate<Resident> pinned) {
        this.pinned = pinned;
    }

    void add(Resident resident) {
        Held held = byTenant.computeIfAbsent(resident.variant.tenant, tenant -> new Held());
        if (held.residents.add(resident)) {
            held.bytes += resident.bytes();
        }
    }

    void remove(Resident resident) {
        Held held = byTenant.get(resident.variant.tenant);
        if (held != null && held.residents.remove(resident)) {
            held.bytes -= resident.bytes();
            if (held.residents.isEmpty()) {
                byTenant.remove(resident.variant.tenant);
            }
        }
    }

    /** All, in no order. */
    Stream<Resident> stream() {
        return byTenant.values().stream().flatMap(held -> held.residents.stream());
    }

    /**
     * What has to give way for a tenant to have so many bytes more: what was promised last to the one that has most, if that one has more than it
     * will have; empty otherwise, or when that is not enough.
     *
     * @param enough whether so many bytes given are; true at most once
     */
    List<Resident> giveWay(String tenant, long bytes, LongPredicate enough) {
        Held most = null;
        for (Map.Entry<String, Held> other : byTenant.entrySet()) {
            if (!other.getKey().equals(tenant) && (most == null || other.getValue().bytes > most.bytes)) {
                most = other.getValue();
            }
        }
        Held own = byTenant.get(tenant);
        if (most == null || most.bytes <= bytes + (own == null ? 0 : own.bytes)) {
            return List.of();
        }
        List<Resident> victims = new ArrayList<>();
        long given = 0;
        for (Resident resident : most.residents.reversed().stream().filter(pinned.negate()).toList()) {
            given += resident.bytes();
            victims.add(resident);
            if (enough.test(given)) {
                return victims;
            }
        }
        return List.of();
    }
}
