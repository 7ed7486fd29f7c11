package dev.polyphon.engine.pool;

import dev.polyphon.engine.pool.Slots.Room;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.RuntimeFault;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;

/** Gives those who load adapters room for them where the model computes. Thread-safe. */
final class Rooms {
    private final Object lock;
    private final Slots slots;
    private final Executor executor;
    private final Duration longestWait;

    /** @param lock guards the slots */
    Rooms(Object lock, Slots slots, Executor executor, Duration longestWait) {
        this.lock = lock;
        this.slots = slots;
        this.executor = executor;
        this.longestWait = longestWait;
    }

    /** Bytes that there are for adapters at most. */
    long most() {
        return slots.most();
    }

    /** Room for a variant, or null: then it stands in line, and hears on the executor when its turn comes. */
    Room take(Variant variant, long bytes, Consumer<Room> later) {
        synchronized (lock) {
            CompletableFuture<Room> room = slots.room(variant.tenant, bytes, variant.key.name());
            if (room.isDone()) {
                return room.join();
            }
            variant.room = room;
            room.thenAccept(given -> {
                variant.room = null;
                executor.execute(() -> later.accept(given));
            });
            return null;
        }
    }

    /** Waits for room. */
    Room await(AdapterId id, long bytes) {
        CompletableFuture<Room> room;
        synchronized (lock) {
            room = slots.room(id.owner(), bytes, id.name());
        }
        try {
            return room.get(longestWait.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException | TimeoutException e) {
            synchronized (lock) {
                if (!room.isDone()) {
                    room.cancel(false);
                    slots.serve();
                    throw late(id.name(), longestWait, true);
                }
            }
            return room.join();
        } catch (ExecutionException e) {
            throw AdapterPool.fault(e.getCause());
        }
    }

    /** Room if there is some now, or null. */
    Room now(long bytes) {
        synchronized (lock) {
            return slots.take(bytes);
        }
    }

    /** The room made as large as its adapter turned out to be; null, and the room is as before, where there is not so much. */
    Room fit(Room room, long bytes) {
        Room more = null;
        synchronized (lock) {
            if (bytes <= room.bytes()) {
                slots.give(room.bytes() - bytes);
            } else {
                more = slots.take(bytes - room.bytes());
                if (more == null) {
                    return null;
                }
            }
        }
        if (more != null) {
            more.clear();
        }
        return new Room(bytes, List.of());
    }

    /** Makes so many bytes free where the model computes, of what is idle there; false when nothing is. */
    boolean clear(long bytes) {
        Room room;
        synchronized (lock) {
            room = slots.expel(bytes);
        }
        room.clear();
        synchronized (lock) {
            slots.vacated(room);
        }
        return !room.evicted().isEmpty();
    }

    void giveBack(Room room) {
        room.clear();
        synchronized (lock) {
            slots.give(room.bytes());
        }
    }

    /** Why a wait ended without an adapter. */
    static RuntimeFault late(String name, Duration waited, boolean inLine) {
        return RuntimeFault.queueTimeout("adapter " + name + " was waited for " + waited.toMillis() + " ms: "
                + (inLine ? "what is in use takes all the memory there is for it" : "its files have not come yet"), Duration.ofSeconds(1));
    }
}
