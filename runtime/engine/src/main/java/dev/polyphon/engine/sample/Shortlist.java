package dev.polyphon.engine.sample;

import java.util.Arrays;
import java.util.function.LongToDoubleFunction;

/**
 * The likeliest tokens of a row, found without sorting it. A token is a key that orders by logit first and lower id second, so that there are
 * no ties. Reusable scratch of one thread.
 */
final class Shortlist {
    private static final int SORTED = 32;

    private long[] keys = new long[1024];
    private int size;

    int size() {
        return size;
    }

    int token(int index) {
        return token(keys[index]);
    }

    float logit(int index) {
        return logit(keys[index]);
    }

    private static int token(long key) {
        return ~(int) key;
    }

    private static float logit(long key) {
        return Float.intBitsToFloat(ordered((int) (key >> 32)));
    }

    /** Keys in the order of their logits; adding zero makes -0 and 0 equal. */
    private static long key(float logit, int token) {
        return (long) ordered(Float.floatToRawIntBits(logit + 0f)) << 32 | ~token & 0xffffffffL;
    }

    /** From the bits of a float to an int that orders as it does, and back. */
    private static int ordered(int bits) {
        return bits ^ bits >> 31 & Integer.MAX_VALUE;
    }

    /** Fills this list with the {@code count} best tokens, in no order. */
    void best(float[] logits, int from, int length, int count) {
        size = 0;
        // Collect whatever beats the worst of the best so far; when the room is used up, cut back to the best.
        int room = (int) Math.min(length, Math.max(2L * count, 1024));
        reserve(room);
        float worst = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < length; i++) {
            float logit = logits[from + i];
            // Equal ones come later and so have a higher id; only before the first cut can they belong to the best.
            if (logit > worst || worst == Float.NEGATIVE_INFINITY) {
                if (size == room) {
                    keepBest(count);
                    worst = worst();
                    if (logit <= worst) {
                        continue;
                    }
                }
                keys[size++] = key(logit, i);
            }
        }
        keepBest(count);
    }

    /** Fills this list with the tokens whose logits are not below {@code cut}, by id. */
    void atLeast(float[] logits, int from, int length, double cut) {
        size = 0;
        for (int i = 0; i < length; i++) {
            float logit = logits[from + i];
            if (logit >= cut) {
                if (size == keys.length) {
                    reserve(Math.min(length, 2 * size));
                }
                keys[size++] = key(logit, i);
            }
        }
    }

    /** Drops what is below {@code cut}. */
    void dropBelow(double cut) {
        int kept = 0;
        for (int i = 0; i < size; i++) {
            if (logit(keys[i]) >= cut) {
                keys[kept++] = keys[i];
            }
        }
        size = kept;
    }

    void keepBest(int count) {
        if (count < size) {
            keep(count, key -> 1);
        }
    }

    /** Keeps the fewest best tokens, but at least one, whose weights reach {@code weight}; all when they do not. */
    void keepWeight(double weight, Weights weights) {
        keep(weight, key -> weights.of(token(key), logit(key)));
    }

    /** What tokens weigh, by id or logit. */
    interface Weights {
        double of(int token, float logit);
    }

    /** Quickselect by accumulated weight; a range that pivots do not shrink as they should is sorted. */
    private void keep(double weight, LongToDoubleFunction weights) {
        int from = 0;
        int to = size;
        double missing = weight;
        int rounds = 2 * (32 - Integer.numberOfLeadingZeros(size));
        while (to - from > SORTED && rounds-- > 0) {
            int pivot = partition(from, to);
            double sum = 0;
            for (int i = from; i <= pivot; i++) {
                sum += weights.applyAsDouble(keys[i]);
            }
            if (sum >= missing) {
                to = pivot + 1;
            } else {
                missing -= sum;
                from = pivot + 1;
            }
        }
        sort(from, to);
        int kept = from;
        while (kept < to && (missing > 0 || kept == 0)) {
            missing -= weights.applyAsDouble(keys[kept++]);
        }
        size = kept;
    }

    /** Best first. */
    void sort() {
        sort(0, size);
    }

    private void sort(int from, int to) {
        Arrays.sort(keys, from, to);
        for (int i = from, j = to - 1; i < j; i++, j--) {
            swap(i, j);
        }
    }

    /** Greater keys before, lesser ones after the place returned. */
    private int partition(int from, int to) {
        int last = to - 1;
        swap(medianOfThree(from, from + to >>> 1, last), last);
        long pivot = keys[last];
        int place = from;
        for (int i = from; i < last; i++) {
            if (keys[i] > pivot) {
                swap(i, place++);
            }
        }
        swap(place, last);
        return place;
    }

    private int medianOfThree(int a, int b, int c) {
        if (keys[a] > keys[b]) {
            return keys[b] > keys[c] ? b : keys[a] > keys[c] ? c : a;
        }
        return keys[a] > keys[c] ? a : keys[b] > keys[c] ? c : b;
    }

    private float worst() {
        long worst = Long.MAX_VALUE;
        for (int i = 0; i < size; i++) {
            worst = Math.min(worst, keys[i]);
        }
        return logit(worst);
    }

    private void swap(int a, int b) {
        long key = keys[a];
        keys[a] = keys[b];
        keys[b] = key;
    }

    private void reserve(int length) {
        if (keys.length < length) {
            keys = Arrays.copyOf(keys, length);
        }
    }
}
