package dev.polyphon.engine.pool;

import dev.polyphon.engine.backend.MemoryBudget.Account;
import dev.polyphon.runtime.AdapterTiers.Tier;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * The memory that adapters take where the model computes, out of a budget that others share. What is in use stays, and so does what is pinned; of the rest
 * the least worth goes first, for other adapters and for others who share. Who finds no room waits in the line of its tenant, and the tenants take turns.
 * What is only kept for requests that wait to begin gives way to tenants that have less ({@link Promises}), and to whoever has been first in line for long; then
 * adapters in use, too, take no new requests, so that they go when those they have are done. Guarded by the pool.
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

    private record Waiting(long bytes, long since, CompletableFuture<Room> room) {}

    private final Account memory;
    private final Eviction eviction;
    private final Predicate<Resident> pinned;
    private final long turnTime;
    private Consumer<Resident> evict = resident -> {};
    private Consumer<Resident> retire = resident -> {};
    private final Promises promises;
    /** Those with users, whoever has had some for longest first. */
    private final Set<Resident> used = new LinkedHashSet<>();
    private final TreeSet<Resident> idle = new TreeSet<>(WORTH);
    private final Map<String, ArrayDeque<Waiting>> lines = new LinkedHashMap<>();
    private long idleBytes;
    private int residents;
    private double inflation;
    private long turns;
    private long hits;
    private long misses;
    private long evictions;

    /**
     * @param pinned tells what never gives way
     * @param turnTime after how long the first in line has adapters in use take no new requests
     */
    Slots(Account memory, Eviction eviction, Predicate<Resident> pinned, Duration turnTime) {
        this.memory = memory;
        this.eviction = eviction;
        this.pinned = pinned;
        this.turnTime = turnTime.toNanos();
        promises = new Promises(pinned);
    }

    /**
     * @param eviction hears of each that gives way, to take it out of service
     * @param retirement hears of each in use that is to go when it is no longer used, to take it out of service
     */
    void onLeaving(Consumer<Resident> eviction, Consumer<Resident> retirement) {
        evict = eviction;
        retire = retirement;
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
        room = room == null && !lines.containsKey(tenant) ? inherit(tenant, bytes) : room;
        if (room != null) {
            return CompletableFuture.completedFuture(room);
        }
        long pinnedBytes = bytes(idle, pinned);
        if (memory.used() == idleBytes && pinnedBytes + bytes > memory.most()) {
            throw RuntimeFault.of(Kind.ADAPTER_UNUSABLE, "adapter " + adapter + " cannot be used: it needs " + bytes + " bytes of memory, and of the "
                    + memory.most() + " that adapters may take, pinned ones take " + pinnedBytes);
        }
        Waiting waiting = new Waiting(bytes, System.nanoTime(), new CompletableFuture<>());
        lines.computeIfAbsent(tenant, key -> new ArrayDeque<>(1)).add(waiting);
        stand();
        return waiting.room;
    }

    /** Room now, or null: what is idle gives way only when that is enough. */
    Room take(long bytes) {
        return take(bytes, idle.stream());
    }

    private Room take(long bytes, Stream<Resident> candidates) {
        if (memory.take(bytes)) {
            return new Room(bytes, List.of());
        }
        List<Resident> victims = new ArrayList<>();
        long given = 0;
        for (Resident resident : candidates.filter(pinned.negate()).toList()) {
            victims.add(resident);
            given += resident.bytes();
            if (memory.exchange(given, bytes)) {
                victims.forEach(this::expel);
                return new Room(bytes, victims);
            }
        }
        return null;
    }

    /** Room of what is kept for those who wait to begin and have more, or null. */
    private Room inherit(String tenant, long bytes) {
        List<Resident> victims = promises.giveWay(tenant, bytes, given -> memory.exchange(given, bytes));
        victims.forEach(this::expel);
        return victims.isEmpty() ? null : new Room(bytes, victims);
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
            Waiting waiting = first(line);
            if (waiting != null) {
                Room room = take(waiting.bytes);
                room = room == null && System.nanoTime() - waiting.since >= turnTime ? seize(waiting.bytes) : room;
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
        for (Map.Entry<String, ArrayDeque<Waiting>> one : lines.entrySet()) {
            Waiting waiting = first(one.getValue());
            Room room = waiting == null ? null : inherit(one.getKey(), waiting.bytes);
            if (room != null) {
                one.getValue().poll().room.complete(room);
            }
        }
        stand();
    }

    /** The first in a line that still waits, or null. */
    private static Waiting first(ArrayDeque<Waiting> line) {
        while (!line.isEmpty() && line.peek().room.isDone()) {
            line.poll();
        }
        return line.peek();
    }

    /** Room for who has waited long enough: of all that nobody uses; or null, and what is in use takes no new requests, so that there will be room. */
    private Room seize(long bytes) {
        Room room = take(bytes, Stream.concat(idle.stream(), promises.stream()));
        if (room == null) {
            long coming = memory.reach() - memory.used() + bytes(idle, resident -> !pinned.test(resident)) + bytes(used, resident -> resident.retired);
            for (Resident resident : List.copyOf(used)) {
                if (coming < bytes && !resident.retired && !pinned.test(resident)) {
                    retire.accept(resident);
                    coming += resident.retired ? resident.bytes() : 0;
                }
            }
        }
        return room;
    }

    private static long bytes(Collection<Resident> residents, Predicate<Resident> which) {
        return residents.stream().filter(which).mapToLong(Resident::bytes).sum();
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
        used.add(resident);
        resident.users++;
        resident.used();
    }

    /** An adapter has a user less. */
    void release(Resident resident) {
        if (--resident.users > 0) {
            serve();
            return;
        }
        used.remove(resident);
        if (!resident.retired) {
            rest(resident);
        }
    }

    /** Nobody uses an adapter any more; it is kept for those who wait to, or in case it is wanted again. */
    void rest(Resident resident) {
        forget(resident);
        if (resident.promised > 0) {
            promises.add(resident);
        } else {
            resident.appraise(eviction, inflation, turns++);
            idle.add(resident);
            idleBytes += resident.bytes();
        }
        serve();
    }

    /** An adapter is no longer one that may give way. */
    void forget(Resident resident) {
        if (idle.remove(resident)) {
            idleBytes -= resident.bytes();
        }
        promises.remove(resident);
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
