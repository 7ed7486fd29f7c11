package dev.polyphon.engine.schedule.merge;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;

/**
 * Decides in mode {@code auto} what is worth merging, from what was counted and timed (the question of dLoRA, Wu et al. 2024). Pure bookkeeping, for one
 * thread; time is what the caller says.
 *
 * <p>It cannot flap: an adapter is merged after two windows of demand, by a measured gain, when the time that it is expected to stay hot (as long as it has been)
 * saves more than the copy costs; it is unmerged after two windows of loss or little demand; and after a rejection, or a merge that did not last, it is left alone
 * for a time that doubles with each.
 */
final class MergePolicy {
    private static final int LONGEST_REST = 64;

    private static final class Track {
        /** Whether its share is high enough, and since when. */
        boolean hot;
        long hotSince;
        boolean merged;
        long mergedAt;
        int bad;
        long restsUntil;
        int rest;

        Track(long now) {
            restsUntil = now;
        }
    }

    private final double share;
    private final double gain;
    private final long window;
    private final Map<MergeTarget, Track> tracks = new HashMap<>();

    /**
     * @param share of the rows that an adapter must have
     * @param gain part of the steps' time that merging must save
     */
    MergePolicy(double share, double gain, Duration window) {
        this.share = share;
        this.gain = gain;
        this.window = window.toNanos();
    }

    /** Ends a window in which adapters had these shares of the rows; what is not named had none. */
    void window(Map<MergeTarget, Double> shares, long now) {
        tracks.forEach((target, track) -> {
            if (shares.getOrDefault(target, 0.0) < share) {
                track.hot = false;
            }
        });
        shares.forEach((target, part) -> {
            Track track = part < share ? null : tracks.computeIfAbsent(target, _ -> new Track(now));
            if (track != null && !track.hot) {
                track.hot = true;
                track.hotSince = now - window;
            }
        });
        tracks.values().removeIf(track -> !track.hot && !track.merged && now - track.restsUntil > LONGEST_REST * window);
    }

    /** Whether an adapter has been hot for long enough, and not been turned down just now, to be measured. */
    boolean candidate(MergeTarget target, long now) {
        Track track = tracks.get(target);
        return track != null && track.hot && now - track.hotSince >= 2 * window && now - track.restsUntil >= 0;
    }

    /**
     * Whether a candidate is to be merged; if not, it rests.
     *
     * @param saving part of the steps' time that the merged form would have saved in the window
     * @param costNanos time of one core that making the copy takes
     */
    boolean pays(MergeTarget target, double saving, double costNanos, long now) {
        Track track = tracks.computeIfAbsent(target, _ -> new Track(now));
        long hot = !track.hot ? 0 : now - track.hotSince;
        if (saving >= gain && saving * hot >= costNanos) {
            track.merged = true;
            track.mergedAt = now;
            track.bad = 0;
            return true;
        }
        rest(track, now);
        return false;
    }

    /**
     * Whether a merged adapter stays merged after a window; if not, it rests.
     *
     * @param part share of the window's rows
     * @param saving part of the steps' time that the merged form saved
     */
    boolean keeps(MergeTarget target, double part, double saving, long now) {
        Track track = tracks.computeIfAbsent(target, _ -> new Track(now));
        track.bad = part >= share / 2 && saving > 0 ? 0 : track.bad + 1;
        if (track.bad < 2) {
            return true;
        }
        if (now - track.mergedAt > LONGEST_REST * window) {
            track.rest = 0;
        }
        rest(track, now);
        return false;
    }

    /** A merge that was to pay has failed, or was ended otherwise: the adapter rests. */
    void ended(MergeTarget target, long now) {
        rest(tracks.computeIfAbsent(target, _ -> new Track(now)), now);
    }

    private void rest(Track track, long now) {
        track.rest = Math.clamp(2L * track.rest, 2, LONGEST_REST);
        track.restsUntil = now + track.rest * window;
        track.merged = false;
    }
}
