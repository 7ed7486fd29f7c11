package dev.polyphon.engine.pool;

import dev.polyphon.engine.backend.MemoryBudget.Account;
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
 * The memory that adapters take where the model computes, out of a budget that others share. What is in use stays, and so does what is pinned; of the rest
 * the least worth goes first, for other adapters and for others who share. Who finds no room waits in the line of its tenant, and the tenants take turns.
 * Guarded by the pool.
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

    private final Account memory;
    private final Eviction eviction;
    private final Predicate<Resident> pinned;
    private Consumer<Resident> evict = resident -> {};
    private final TreeSet<Resident> idle = new TreeSet<>(WORTH);
    private final Map<String, ArrayDeque<Waiting>> lines = new LinkedHashMap<>();
    private long idleBytes;
    private int residents;
    private double inflation;
    private long turns;
    private long hits;
    private long misses;
    private long evictions;

    Slots(Account memory, Eviction eviction, Predicate<Resident> pinned) {
        this.memory = memory;
        this.eviction = eviction;
        this.pinned = pinned;
    }

    /** @param listener hears of each that gives way, to take it out of service */
    void onEviction(Consumer<Resident> listener) {
        evict = listener;
    }

    /** Bytes that there are at most. */
    long most() {
        return memory.most();
    }

    /**
     * Asks for room. The future is complete at once where there is some; cancelling it leaves the line.
     *
     * @throws RuntimeFault when there never will be
     */
    CompletableFuture<Room> room(String tenant, long bytes, String adapter) {
        if (bytes > memory.most()) {
            throw RuntimeFault.of(Kind.ADAPTER_UNUSABLE, "adapter " + adapter + " cannot be used: it needs " + bytes + " bytes of memory, and adapters may take " + memory.most());
        }
        Room room = lines.isEmpty() ? take(bytes) : null;
        if (room != null) {
            return CompletableFuture.completedFuture(room);
        }
        long pinnedBytes = idle.stream().filter(pinned).mapToLong(Resident::bytes).sum();
        if (memory.used() == idleBytes && pinnedBytes + bytes > memory.most()) {
            throw RuntimeFault.of(Kind.ADAPTER_UNUSABLE, "adapter " + adapter + " cannot be used: it needs " + bytes + " bytes of memory, and of the "
                    + memory.most() + " that adapters may take, pinned ones take " + pinnedBytes);
        }
        Waiting waiting = new Waiting(bytes, new CompletableFuture<>());
        lines.computeIfAbsent(tenant, key -> new ArrayDeque<>(1)).add(waiting);
        stand();
        return waiting.room;
    }

    /** Room now, or null: what is idle gives way only when that is enough. */
    Room take(long bytes) {
        if (memory.take(bytes)) {
            return new Room(bytes, List.of());
        }
        List<Resident> victims = new ArrayList<>();
        long given = 0;
        for (Resident resident : idle) {
            if (!pinned.test(resident)) {
                victims.add(resident);
                given += resident.bytes();
                if (memory.exchange(given, bytes)) {
                    victims.forEach(this::expel);
                    return new Room(bytes, victims);
                }
            }
        }
        return null;
    }

    private void expel(Resident victim) {
        inflation = Math.max(inflation, victim.priority());
        residents--;
        evictions++;
        forget(victim);
        evict.accept(victim);
    }

    /** Expels what others want the memory of; when it is closed, the room is to be given back by {@link #vacated}. */
    Room vacate() {
        return expel(memory.asked());
    }

    /** Expels so many bytes of what is idle and not pinned, as far as there are so many; the room is to be given back likewise. */
    Room expel(long wanted) {
        List<Resident> victims = new ArrayList<>();
        long bytes = 0;
        for (Iterator<Resident> next = idle.iterator(); bytes < wanted && next.hasNext();) {
            Resident resident = next.next();
            if (!pinned.test(resident)) {
                victims.add(resident);
                bytes += resident.bytes();
            }
        }
        victims.forEach(this::expel);
        memory.leaves(bytes);
        return new Room(bytes, victims);
    }

    void vacated(Room room) {
        memory.left(room.bytes());
        serve();
    }

    /** Gives room back, and lets those in line have it. */
    void give(long bytes) {
        memory.give(bytes);
        serve();
    }

    /** Tells those who share the memory how this stands. */
    private void stand() {
        long waits = lines.values().stream().flatMap(ArrayDeque::stream).filter(one -> !one.room.isDone()).mapToLong(Waiting::bytes).findFirst().orElse(0);
        memory.stands(idleBytes, waits);
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
                    break;
                }
                line.poll().room.complete(room);
            }
            lines.remove(first.getKey());
            if (!line.isEmpty()) {
                lines.put(first.getKey(), line);
            }
        }
        stand();
    }

    /** An adapter stands in its room. */
    void settled() {
        residents++;
    }

    /** One that is out of service is about to go. */
    void goes(long bytes) {
        memory.leaves(bytes);
    }

    /** One that was out of service has gone. */
    void gone(long bytes) {
        residents--;
        memory.left(bytes);
        serve();
    }

    /** An adapter is taken into use. */
    void use(Resident resident) {
        forget(resident);
        resident.users++;
        resident.used();
    }

    /** Nobody uses an adapter any more. */
    void rest(Resident resident) {
        resident.appraise(eviction, inflation, turns++);
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
        return memory.used();
    }

    /** How many wait for room. */
    int waiting() {
        return lines.values().stream().mapToInt(ArrayDeque::size).sum();
    }

    Tier usage() {
        return new Tier(residents, memory.used(), memory.most(), hits, misses, evictions);
    }
}
