package dev.polyphon.runtime;

import java.util.List;

/**
 * What a runtime has merged.
 *
 * @param budget bytes that copies may take together
 * @param bytes what they take
 * @param rows rows computed with copies, since the start
 * @param merged merges completed, since the start
 * @param unmerged copies taken out of service
 * @param rejected adapters that were measured and left as they are, because merging would not have paid
 * @param failed merges that failed
 * @param merges the oldest first
 */
public record MergeStatus(MergeMode mode, long budget, long bytes, long rows, long merged, long unmerged, long rejected, long failed, List<MergeInfo> merges) {
    public static final MergeStatus NONE = new MergeStatus(MergeMode.NEVER, 0, 0, 0, 0, 0, 0, 0, List.of());

    public MergeStatus {
        merges = List.copyOf(merges);
    }
}
