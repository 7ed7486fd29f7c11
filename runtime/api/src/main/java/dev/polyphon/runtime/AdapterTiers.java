package dev.polyphon.runtime;

/**
 * How full the tiers that adapters pass through are, and how often each had what was asked of it.
 *
 * @param disk copies and uploads on this machine; folders that are read in place do not count
 * @param host files in this machine's memory
 * @param device weights where the model computes
 * @param waiting requests that wait for an adapter: for its files, or for room where the model computes
 */
public record AdapterTiers(Tier disk, Tier host, Tier device, int waiting) {
    public static final AdapterTiers NONE = new AdapterTiers(Tier.NONE, Tier.NONE, Tier.NONE, 0);

    /**
     * @param adapters how many are there
     * @param bytes what they take
     * @param limit bytes that they may take
     * @param hits times since the start that one was there when it was asked for
     * @param misses times that it was not
     * @param evictions how many gave way to others
     */
    public record Tier(int adapters, long bytes, long limit, long hits, long misses, long evictions) {
        public static final Tier NONE = new Tier(0, 0, 0, 0, 0, 0);
    }
}
