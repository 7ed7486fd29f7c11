package dev.polyphon.engine.sample.grammar;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntPredicate;

/**
 * A set of Unicode scalar values: code points without surrogates.
 *
 * @param bounds first and last of each range, ascending; ranges neither overlap nor touch
 */
record CharSet(int[] bounds) {
    private static final int LAST = Character.MAX_CODE_POINT;
    private static final CharSet SURROGATES = new CharSet(new int[] {0xD800, 0xDFFF});

    static final CharSet NONE = new CharSet(new int[0]);
    static final CharSet ALL = new CharSet(new int[] {0, 0xD7FF, 0xE000, LAST});

    static CharSet of(int first, int last) {
        return first > last ? NONE : new CharSet(new int[] {first, last}).minus(SURROGATES);
    }

    static CharSet of(int one) {
        return of(one, one);
    }

    static CharSet of(String characters) {
        return characters.codePoints().mapToObj(CharSet::of).reduce(NONE, CharSet::or);
    }

    static CharSet where(IntPredicate test) {
        var bounds = new ArrayList<Integer>();
        for (int c = 0; c <= LAST + 1; c++) {
            boolean in = c <= LAST && test.test(c);
            if (in != (bounds.size() % 2 == 1)) {
                bounds.add(in ? c : c - 1);
            }
        }
        return new CharSet(bounds.stream().mapToInt(Integer::intValue).toArray()).minus(SURROGATES);
    }

    boolean isEmpty() {
        return bounds.length == 0;
    }

    boolean contains(int c) {
        for (int i = 0; i < bounds.length; i += 2) {
            if (c >= bounds[i] && c <= bounds[i + 1]) {
                return true;
            }
        }
        return false;
    }

    CharSet not() {
        return ALL.minus(this);
    }

    CharSet and(CharSet other) {
        return minus(other.raw());
    }

    CharSet or(CharSet other) {
        var ranges = new ArrayList<int[]>();
        for (CharSet set : List.of(this, other)) {
            for (int i = 0; i < set.bounds.length; i += 2) {
                ranges.add(new int[] {set.bounds[i], set.bounds[i + 1]});
            }
        }
        ranges.sort((a, b) -> Integer.compare(a[0], b[0]));
        int[] merged = new int[2 * ranges.size()];
        int size = 0;
        for (int[] range : ranges) {
            if (size > 0 && range[0] <= merged[size - 1] + 1) {
                merged[size - 1] = Math.max(merged[size - 1], range[1]);
            } else {
                merged[size++] = range[0];
                merged[size++] = range[1];
            }
        }
        return new CharSet(Arrays.copyOf(merged, size));
    }

    /** Everything else, surrogates included. */
    private CharSet raw() {
        return new CharSet(new int[] {0, LAST}).minus(this);
    }

    CharSet minus(CharSet other) {
        var left = new ArrayList<Integer>();
        for (int i = 0; i < bounds.length; i += 2) {
            int from = bounds[i];
            for (int j = 0; j < other.bounds.length && from <= bounds[i + 1]; j += 2) {
                if (other.bounds[j + 1] < from || other.bounds[j] > bounds[i + 1]) {
                    continue;
                }
                if (other.bounds[j] > from) {
                    left.add(from);
                    left.add(other.bounds[j] - 1);
                }
                from = other.bounds[j + 1] + 1;
            }
            if (from <= bounds[i + 1]) {
                left.add(from);
                left.add(bounds[i + 1]);
            }
        }
        return new CharSet(left.stream().mapToInt(Integer::intValue).toArray());
    }

    /** Both cases of ASCII letters in the set. */
    CharSet foldCase() {
        CharSet folded = this;
        for (int c = 'a'; c <= 'z'; c++) {
            if (contains(c) || contains(c - 32)) {
                folded = folded.or(of(c)).or(of(c - 32));
            }
        }
        return folded;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof CharSet set && Arrays.equals(bounds, set.bounds);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(bounds);
    }
}
