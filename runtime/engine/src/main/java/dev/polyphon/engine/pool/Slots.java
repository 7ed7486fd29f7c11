package dev.polyphon.engine.pool;

import dev.polyphon.runtime.AdapterTiers.Tier;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.function.Predicate;

/**
 * The memory that adapters may take where the model computes. What is in use stays, and so does what is pinned; of the rest the least worth goes first.
 * Who finds no room waits in the line of its tenant, and the tenants take turns. Guarded by the pool.
 */
final class Slots {
    private static final Comparator<Resident> WORTH = Comparator.comparingDouble(Resident::priority).thenComparingLong(Resident::turn);

    /**
     * Room for an adapter.
     *
     * @param evicted what was there: to be closed before the room is used
     */
    record Room(long bytes, List<Resident> evicted) {
        void clear() {
            evicted.forEach(resident -> resident.adapter.close());
        }
    }

    private record Waiting(long bytes, CompletableFuture<Room> room) {}

    private final long budget;
    private final Predicate<Resident> pinned;
    private Consumer<Resident> evict = resident -> {};
    private final TreeSet<Resident> idle = new TreeSet<>(WORTH);
    private final Map<String, ArrayDeque<Waiting>> lines = new LinkedHashMap<>();
    private long used;
    private long idleBytes;
    private int residents;
    private double inflation;
    private long turns;
    private long hits;
    private long misses;
    private long evictions;

    Slots(long budget, Predicate<Resident> pinned) {
        this.budget = budget;
        this.pinned = pinned;
    }

    /** @param listener hears of each that gives way, to take it out of service */
    void onEviction(Consumer<Resident> listener) {
        evict = listener;
    }

    /** Bytes that there are at most. */
    long most() {
        return budget;
    }

    /**
     * Asks for room. The future is complete at once where there is some; cancelling it leaves the line.
     *
     * @throws RuntimeFault when there never will be
     */
    CompletableFuture<Room> room(String tenant, long bytes, String adapter) {
        if (bytes > budget) {
            throw RuntimeFault.of(Kind.ADAPTER_UNUSABLE, "adapter " + adapter + " cannot be used: it needs " + bytes + " bytes of memory, and adapters may take " + budget);
        }
        Room room = lines.isEmpty() ? take(bytes) : null;
        if (room != null) {
            return CompletableFuture.completedFuture(room);
        }
        if (used == idleBytes) {
            throw RuntimeFault.of(Kind.ADAPTER_UNUSABLE, "adapter " + adapter + " cannot be used: it needs " + bytes + " bytes of memory, and of the " + budget
                    + " that adapters may take, pinned ones take " + used);
        }
        Waiting waiting = new Waiting(bytes, new CompletableFuture<>());
        lines.computeIfAbsent(tenant, key -> new ArrayDeque<>(1)).add(waiting);
        return waiting.room;
    }

    /** Room now, or null: what is idle gives way only when that is enough. */
    Room take(long bytes) {
        List<Resident> victims = new ArrayList<>();
        long free = budget - used;
        for (Iterator<Resident> next = idle.iterator(); free < bytes && next.hasNext();) {
            Resident resident = next.next();
            if (!pinned.test(resident)) {
                victims.add(resident);
                free += resident.bytes();
            }
        }
        if (free < bytes) {
            return null;
        }
        used += bytes;
        for (Resident victim : victims) {
            inflation = Math.max(inflation, victim.priority());
            used -= victim.bytes();
            residents--;
            evictions++;
            forget(victim);
            evict.accept(victim);
        }
        return new Room(bytes, victims);
    }

    /** Gives room back, and lets those in line have it. */
    void give(long bytes) {
        used -= bytes;
        serve();
    }

    /** Serves those in line, a tenant after the other, as far as there is room. */
    void serve() {
        while (!lines.isEmpty()) {
            Map.Entry<String, ArrayDeque<Waiting>> first = lines.entrySet().iterator().next();
            ArrayDeque<Waiting> line = first.getValue();
            while (!line.isEmpty() && line.peek().room.isDone()) {
                line.poll();
            }
            if (!line.isEmpty()) {
                Room room = take(line.peek().bytes);
                if (room == null) {
                    return;
                }
                line.poll().room.complete(room);
            }
            lines.remove(first.getKey());
            if (!line.isEmpty()) {
                lines.put(first.getKey(), line);
            }
        }
    }

    /** An adapter stands in its room. */
    void settled() {
        residents++;
    }

    /** One that was out of service has gone. */
    void gone(long bytes) {
        residents--;
        give(bytes);
    }

    /** An adapter is taken into use. */
    void use(Resident resident) {
        forget(resident);
        resident.users++;
        resident.used();
    }

    /** Nobody uses an adapter any more. */
    void rest(Resident resident) {
        resident.appraise(inflation, turns++);
        idle.add(resident);
        idleBytes += resident.bytes();
        serve();
    }

    /** An adapter is no longer one that may give way. */
    void forget(Resident resident) {
        if (idle.remove(resident)) {
            idleBytes -= resident.bytes();
        }
    }

    void hit() {
        hits++;
    }

    void miss() {
        misses++;
    }

    int residents() {
        return residents;
    }

    long used() {
        return used;
    }

    /** How many wait for room. */
    int waiting() {
        return lines.values().stream().mapToInt(ArrayDeque::size).sum();
    }

    Tier usage() {
        return new Tier(residents, used, budget, hits, misses, evictions);
    }
}
