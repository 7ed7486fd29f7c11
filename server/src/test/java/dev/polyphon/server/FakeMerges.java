package dev.polyphon.server;

import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterMerges;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.MergeInfo;
import dev.polyphon.runtime.MergeInfo.Cause;
import dev.polyphon.runtime.MergeInfo.State;
import dev.polyphon.runtime.MergeMode;
import dev.polyphon.runtime.MergeStatus;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Merges that are complete at once, and copy nothing. */
public final class FakeMerges implements AdapterMerges {
    private static final int BYTES = 100;

    private final AdapterCatalog catalog;
    private final List<MergeInfo> merges = new ArrayList<>();
    private MergeMode mode = MergeMode.NEVER;
    private int merged;
    private int unmerged;

    FakeMerges(AdapterCatalog catalog) {
        this.catalog = catalog;
    }

    @Override
    public synchronized MergeStatus status() {
        return new MergeStatus(mode, 3L * BYTES, (long) BYTES * merges.size(), 7, merged, unmerged, 1, 2, merges);
    }

    @Override
    public synchronized MergeInfo merge(String owner, List<AdapterWeight> adapters) {
        for (AdapterWeight adapter : adapters) {
            if (catalog.find(owner, adapter.name()).isEmpty()) {
                throw RuntimeFault.of(Kind.UNKNOWN_ADAPTER, "adapter " + adapter.name() + " is not registered");
            }
        }
        if (merges.size() == 3) {
            throw RuntimeFault.of(Kind.NO_SPACE, "there is no room for another copy");
        }
        merges.add(new MergeInfo(++merged, owner, adapters, State.MERGED, Cause.OPERATOR, 1, BYTES, 0, Instant.ofEpochSecond(1_700_000_000), Double.NaN, null));
        return merges.getLast();
    }

    @Override
    public synchronized Optional<MergeInfo> unmerge(long id) {
        Optional<MergeInfo> found = merges.stream().filter(merge -> merge.id() == id).findFirst();
        found.ifPresent(merge -> {
            merges.remove(merge);
            unmerged++;
        });
        return found;
    }

    @Override
    public synchronized void mode(MergeMode value) {
        mode = value;
    }
}
