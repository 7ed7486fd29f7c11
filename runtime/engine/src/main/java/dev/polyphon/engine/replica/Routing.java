package dev.polyphon.engine.replica;

import java.util.Comparator;
import java.util.List;
import java.util.concurrent.atomic.AtomicIntegerArray;

/**
 * Which replica a request goes to: the one that its key is at home at, by rendezvous hashing (Thaler and Ravishankar 1998), unless that has a quarter more
 * than its part of what is under way; then the next in the key's own order that has not (bounded loads, after Mirrokni et al. 2018). So adapters are at few
 * replicas, and an adapter that much of the traffic asks for spreads to as many as it takes. Thread-safe.
 */
final class Routing {
    private static final double SLACK = 1.25;

    private final AtomicIntegerArray loads;

    Routing(int replicas) {
        loads = new AtomicIntegerArray(replicas);
    }

    /**
     * Chooses a replica, and counts sequences there until they are given back.
     *
     * @param able those that can serve the request, at least one
     */
    int take(String key, List<Integer> able, int sequences) {
        int total = sequences;
        for (int i = 0; i < loads.length(); i++) {
            total += loads.get(i);
        }
        double most = Math.max(sequences, SLACK * total / loads.length());
        int chosen = ordered(key, able).stream().filter(i -> loads.get(i) + sequences <= most).findFirst()
                .orElseGet(() -> able.stream().min(Comparator.comparingInt(loads::get)).orElseThrow());
        loads.addAndGet(chosen, sequences);
        return chosen;
    }

    void give(int replica, int sequences) {
        loads.addAndGet(replica, -sequences);
    }

    int load(int replica) {
        return loads.get(replica);
    }

    /** Where a key is at home among some replicas. */
    static int home(String key, List<Integer> able) {
        return ordered(key, able).getFirst();
    }

    private static List<Integer> ordered(String key, List<Integer> able) {
        long hash = 0xcbf29ce484222325L;
        for (int i = 0; i < key.length(); i++) {
            hash = (hash ^ key.charAt(i)) * 0x100000001b3L;
        }
        long seed = hash;
        return able.stream().sorted(Comparator.comparingLong(i -> mix(seed + i * 0x9e3779b97f4a7c15L))).toList();
    }

    /** The finaliser of SplitMix64 (Steele, Lea and Flood 2014). */
    private static long mix(long z) {
        z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
        z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
        return z ^ z >>> 31;
    }
}
