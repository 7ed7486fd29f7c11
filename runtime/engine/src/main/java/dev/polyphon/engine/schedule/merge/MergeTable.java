package dev.polyphon.engine.schedule.merge;

import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.pool.AdapterPool.Lease;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.MergeInfo.Cause;
import dev.polyphon.runtime.MergeInfo.State;
import dev.polyphon.runtime.MergeMode;
import dev.polyphon.runtime.MergeStatus;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;

/** Which adapters are merged, how far, and who uses the copies. Thread-safe; nothing here computes or waits but {@link #await}. */
final class MergeTable {
    /** Merges that failed and are remembered, for those who ask what became of them. */
    static final int MOST_FAILED = 100;

    private final long budget;
    private final List<MergeEntry> entries = new ArrayList<>();
    /** Those in service, by the adapter as it is. */
    private final Map<AdapterWeights, MergedCopy> inService = new HashMap<>();
    /** All that are open, by the merged form: also those that requests only finish with. */
    private final Map<AdapterWeights, MergedCopy> open = new ConcurrentHashMap<>();
    private final LongAdder rows = new LongAdder();
    private MergeMode mode;
    private long lastId;
    private long merged;
    private long unmerged;
    private long rejected;
    private long failed;

    /** @param budget bytes that copies may take */
    MergeTable(MergeMode mode, long budget) {
        this.mode = mode;
        this.budget = budget;
    }

    synchronized MergeStatus status() {
        return new MergeStatus(mode, budget, bytes(), rows.sum(), merged, unmerged, rejected, failed, entries.stream().map(MergeEntry::info).toList());
    }

    private long bytes() {
        return open.values().stream().mapToLong(copy -> copy.adapter.bytes()).sum();
    }

    synchronized MergeMode mode() {
        return mode;
    }

    // Requests and their rows.

    /** A copy in service, with one more user, or null. */
    synchronized MergedCopy use(AdapterWeights unmerged) {
        MergedCopy copy = inService.get(unmerged);
        if (copy != null) {
            copy.users++;
        }
        return copy;
    }

    synchronized void giveBack(MergedCopy copy) {
        copy.users--;
        notifyAll();
    }

    /** The open copy of which this is the form, or null. */
    MergedCopy copyOf(AdapterWeights form) {
        return open.get(form);
    }

    void countRows(int count) {
        rows.add(count);
    }

    // Entries.

    synchronized List<MergeEntry> entries() {
        return List.copyOf(entries);
    }

    synchronized Optional<MergeEntry> find(long id) {
        return entries.stream().filter(entry -> entry.id == id).findFirst();
    }

    /** What is merged, or on its way to be. */
    synchronized Optional<MergeEntry> find(MergeTarget target) {
        return entries.stream().filter(entry -> entry.target.equals(target) && (entry.pending() || entry.state == State.MERGED)).findFirst();
    }

    synchronized MergeEntry add(MergeTarget target, Cause cause) {
        entries.removeIf(entry -> entry.target.equals(target) && entry.state == State.FAILED);
        MergeEntry entry = new MergeEntry(++lastId, target, cause);
        entries.add(entry);
        notifyAll();
        return entry;
    }

    synchronized void remove(MergeEntry entry) {
        entries.remove(entry);
    }

    synchronized void mode(MergeMode value) {
        mode = value;
        follow();
    }

    /** Makes the entries what the mode says. */
    synchronized void follow() {
        MergeTarget pinned = mode instanceof MergeMode.Pinned(String name) ? new MergeTarget(AdapterId.SHARED, List.of(new AdapterWeight(name))) : null;
        for (MergeEntry entry : entries()) {
            if (entry.cause == Cause.PINNED && !entry.target.equals(pinned) || entry.cause == Cause.AUTO && !(mode instanceof MergeMode.Auto)) {
                drop(entry);
            }
        }
        if (pinned != null) {
            entries.stream().filter(entry -> entry.target.equals(pinned) && (entry.pending() || entry.state == State.MERGED || entry.state == State.FAILED))
                    .findFirst().orElseGet(() -> add(pinned, Cause.PINNED)).cause = Cause.PINNED;
        }
    }

    /** Unmerges, or ends what leads there; those who have the copy keep it. */
    synchronized void drop(MergeEntry entry) {
        switch (entry.state) {
            case QUEUED, FAILED -> {
                entries.remove(entry);
                entry.enter(State.UNMERGING);
                // It may be in hand already, its state not yet changed.
                entry.givenUp = true;
            }
            case MEASURING, MERGING -> entry.givenUp = true;
            case MERGED -> {
                retire(entry.copy);
                entry.enter(State.UNMERGING);
            }
            case UNMERGING -> {}
        }
    }

    private void retire(MergedCopy copy) {
        inService.remove(copy.unmerged());
        copy.lease.merged(false);
        copy.retired = true;
        unmerged++;
        notifyAll();
    }

    /** What was merged is not what requests get any more: takes the copy out of service, and has the entry made anew. */
    synchronized void renew(MergeEntry entry) {
        if (entry.state == State.MERGED) {
            retire(entry.copy);
            entry.copy = null;
            again(entry);
        }
    }

    /** Has an entry made again. */
    synchronized void again(MergeEntry entry) {
        entry.done = 0;
        entry.enter(State.QUEUED);
        notifyAll();
    }

    synchronized void enter(MergeEntry entry, State state) {
        entry.enter(state);
    }

    synchronized void measured(MergeEntry entry, double saving) {
        entry.saving = saving;
    }

    /**
     * Takes note of what a copy is going to take.
     *
     * @throws RuntimeFault {@code NO_SPACE} when it does not fit beside the others
     */
    synchronized void reserve(MergeEntry entry, long elements, long bytes) {
        room(bytes, entry);
        entry.elements = elements;
        entry.bytes = bytes;
    }

    /** @param but what needs the room */
    synchronized void room(long needed, MergeEntry but) {
        long taken = bytes() + entries.stream().filter(entry -> entry != but && entry.pending()).mapToLong(entry -> entry.bytes).sum();
        if (needed > budget - taken) {
            throw RuntimeFault.of(Kind.NO_SPACE, "the merged copy takes " + needed + " bytes, and of the " + budget + " for copies " + taken + " are taken");
        }
    }

    /** Puts a copy into service; false when that is no longer wanted. */
    synchronized boolean publish(MergeEntry entry, MergedCopy copy) {
        if (entry.givenUp) {
            return false;
        }
        room(copy.adapter.bytes(), entry);
        inService.put(copy.unmerged(), copy);
        open.put(copy.adapter.weights(), copy);
        copy.lease.merged(true);
        entry.copy = copy;
        entry.bytes = copy.adapter.bytes();
        entry.reason = null;
        entry.enter(State.MERGED);
        merged++;
        return true;
    }

    /** An entry that was measured is left as it is. */
    synchronized void reject(MergeEntry entry) {
        rejected++;
        entries.remove(entry);
    }

    synchronized void fail(MergeEntry entry, String reason) {
        failed++;
        entry.reason = reason;
        entry.done = 0;
        entry.enter(State.FAILED);
        if (entry.givenUp || entry.cause == Cause.AUTO) {
            entries.remove(entry);
        }
        List<MergeEntry> all = entries.stream().filter(other -> other.state == State.FAILED).toList();
        entries.removeAll(all.subList(0, Math.max(0, all.size() - MOST_FAILED)));
    }

    // For the thread that makes and releases copies.

    /** Waits for an entry to make or a copy to release, for so long at most; the entry, or null. */
    synchronized MergeEntry await(Duration most) throws InterruptedException {
        long end = System.nanoTime() + most.toNanos();
        while (true) {
            MergeEntry next = entries.stream().filter(entry -> entry.state == State.QUEUED).findFirst().orElse(null);
            long left = end - System.nanoTime();
            if (next != null || left <= 0 || open.values().stream().anyMatch(MergeTable::idle)) {
                return next;
            }
            TimeUnit.NANOSECONDS.timedWait(this, left);
        }
    }

    private static boolean idle(MergedCopy copy) {
        return copy.retired && copy.users == 0;
    }

    /** Takes out the copies that nobody uses any more; who asks closes them. */
    synchronized List<MergedCopy> takeIdle() {
        List<MergedCopy> idle = open.values().stream().filter(MergeTable::idle).toList();
        idle.forEach(copy -> open.remove(copy.adapter.weights()));
        entries.removeIf(entry -> entry.state == State.UNMERGING && idle.contains(entry.copy));
        return idle;
    }

    /** Takes out all copies at the end. */
    synchronized List<MergedCopy> takeAll() {
        List<MergedCopy> all = List.copyOf(open.values());
        open.clear();
        inService.clear();
        entries.clear();
        return all;
    }
}
