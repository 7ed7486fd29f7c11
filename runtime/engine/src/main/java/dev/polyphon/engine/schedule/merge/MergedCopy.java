package dev.polyphon.engine.schedule.merge;

import dev.polyphon.engine.merge.MergedAdapter;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.pool.AdapterPool.Lease;

/** A folded adapter, and the hold on what it was folded from. Guarded by the table that it stands in. */
final class MergedCopy implements AutoCloseable {
    final Lease lease;
    final MergedAdapter adapter;
    /** Requests that use it. */
    int users;
    /** Whether it is out of service for new ones. */
    boolean retired;

    MergedCopy(Lease lease, MergedAdapter adapter) {
        this.lease = lease;
        this.adapter = adapter;
    }

    /** The adapter as it is. */
    AdapterWeights unmerged() {
        return lease.weights();
    }

    @Override
    public void close() {
        try {
            adapter.close();
        } finally {
            lease.close();
        }
    }
}
