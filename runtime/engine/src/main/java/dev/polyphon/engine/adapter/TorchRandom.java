package dev.polyphon.engine.adapter;

import java.util.HashMap;
import java.util.Map;

/** The numbers that PyTorch's CPU generator draws, for adapters that store a seed instead of what was drawn with it. */
final class TorchRandom {
    private static final int N = 624;
    private static final int M = 397;

    private final int[] state = new int[N];
    private int next = N;

    /** The Mersenne twister MT19937 (Matsumoto and Nishimura 1998). */
    TorchRandom(long seed) {
        state[0] = (int) seed;
        for (int i = 1; i < N; i++) {
            state[i] = 1812433253 * (state[i - 1] ^ state[i - 1] >>> 30) + i;
        }
    }

    /** 32 random bits as a non-negative number. */
    long bits() {
        if (next == N) {
            twist();
        }
        int y = state[next++];
        y ^= y >>> 11;
        y ^= y << 7 & 0x9d2c5680;
        y ^= y << 15 & 0xefc60000;
        y ^= y >>> 18;
        return y & 0xFFFFFFFFL;
    }

    private void twist() {
        for (int i = 0; i < N; i++) {
            int y = state[i] & 0x80000000 | state[(i + 1) % N] & 0x7fffffff;
            state[i] = state[(i + M) % N] ^ y >>> 1 ^ ((y & 1) == 0 ? 0 : 0x9908b0df);
        }
        next = 0;
    }

    /** What {@code uniform_} draws of the bounds of Kaiming's initialisation (He et al. 2015), where each row has {@code columns} inputs. */
    Matrix kaimingUniform(int rows, int columns) {
        double bound = Math.sqrt(3.0) * (Math.sqrt(2) / Math.sqrt(columns));
        float from = (float) -bound;
        float range = (float) bound - from;
        return Matrix.of(rows, columns, (r, c) -> (bits() & 0xFFFFFF) * 0x1p-24f * range + from);
    }

    /** The first entries of {@code torch.randperm(size)} after {@code manual_seed(seed)}. */
    static int[] permutation(long seed, long size, int count) throws AdapterFault {
        if (count < 0 || count > size || size > Integer.MAX_VALUE) {
            throw new AdapterFault(count + " places of a weight of " + size + " elements");
        }
        TorchRandom random = new TorchRandom(seed);
        Map<Integer, Integer> moved = new HashMap<>();
        int[] first = new int[count];
        for (int i = 0; i < Math.min(count, size - 1); i++) {
            int other = i + (int) (random.bits() % (size - i));
            first[i] = moved.getOrDefault(other, other);
            moved.put(other, moved.getOrDefault(i, i));
        }
        if (count == size && count > 0) {
            first[count - 1] = moved.getOrDefault(count - 1, count - 1);
        }
        return first;
    }
}
