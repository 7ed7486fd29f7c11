package dev.polyphon.engine.schedule.merge;

import dev.polyphon.engine.pool.AdapterPool.Lease;
import dev.polyphon.runtime.AdapterWeight;
import java.util.List;
import java.util.stream.Collectors;

/** What is merged: what requests of a tenant ask for. @param owner empty for what every tenant finds */
record MergeTarget(String owner, List<AdapterWeight> adapters) {
    MergeTarget {
        adapters = List.copyOf(adapters);
    }

    static MergeTarget of(Lease lease) {
        return new MergeTarget(lease.owner(), lease.wanted());
    }

    @Override
    public String toString() {
        String names = adapters.stream().map(one -> one.weight() == 1 ? one.name() : one.weight() + "·" + one.name()).collect(Collectors.joining(" + "));
        return owner.isEmpty() ? names : names + " of " + owner;
    }
}
