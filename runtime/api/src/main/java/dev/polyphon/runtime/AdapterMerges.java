package dev.polyphon.runtime;

import java.util.List;
import java.util.Optional;

/**
 * Adapters that are folded into copies of the base's weights while they are served: their requests then need no computation beside the base's. The base
 * itself is never changed, so that unmerging is dropping the copy, and requests of others are computed as if there were none.
 *
 * <p>A request keeps to its end the form, merged or not, that its adapter had when it began. Merging runs in the background; requests that arrive before a
 * merge is complete, or after one has failed, are served unmerged.
 */
public interface AdapterMerges {

    /** Of a runtime that merges nothing. */
    AdapterMerges NONE = new AdapterMerges() {
        @Override
        public MergeStatus status() {
            return MergeStatus.NONE;
        }

        @Override
        public MergeInfo merge(String owner, List<AdapterWeight> adapters) {
            throw unsupported();
        }

        @Override
        public Optional<MergeInfo> unmerge(long id) {
            throw unsupported();
        }

        @Override
        public void mode(MergeMode mode) {
            throw unsupported();
        }

        private RuntimeFault unsupported() {
            return RuntimeFault.of(RuntimeFault.Kind.UNSUPPORTED, "this runtime does not merge adapters");
        }
    };

    /** What is merged now, and what has been done so far. Looks only at memory. */
    MergeStatus status();

    /**
     * Starts to merge an adapter or a weighted mix, and returns without waiting for the end; what is merged already, or on its way, stays as it is. Loads the
     * adapters first, if need be, so that this is not for event loops.
     *
     * @param owner whose adapters: as a tenant's request of these names would find them; empty for shared ones
     * @throws RuntimeFault {@code UNKNOWN_ADAPTER}; {@code ADAPTER_UNUSABLE} for one that cannot be loaded; {@code INVALID} for one of which nothing can be
     *     folded; {@code NO_SPACE} when the copy would not fit what copies may take
     */
    MergeInfo merge(String owner, List<AdapterWeight> adapters);

    /**
     * Takes a merged adapter out of service for new requests, whose rows are computed beside the base's again, or ends a merge under way. The copy is released
     * when the last request that began with it has ended. Empty when there is no merge of this number.
     *
     * @throws RuntimeFault {@code CONFLICT} when the mode pins it
     */
    Optional<MergeInfo> unmerge(long id);

    /** Changes what is merged without being asked for, until the runtime is closed. */
    void mode(MergeMode mode);
}
