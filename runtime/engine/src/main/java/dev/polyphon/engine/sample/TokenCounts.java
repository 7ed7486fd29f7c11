package dev.polyphon.engine.sample;

import java.util.Arrays;

/** How often each token seen so far occurs in the output; tokens of the prompt alone count 0. Open addressing, dense for iteration. */
final class TokenCounts {
    private static final int EMPTY = -1;

    private int[] slots = new int[32];
    private int[] tokens = new int[16];
    private int[] counts = new int[16];
    private int size;

    TokenCounts() {
        Arrays.fill(slots, EMPTY);
    }

    int size() {
        return size;
    }

    int token(int index) {
        return tokens[index];
    }

    int count(int index) {
        return counts[index];
    }

    void see(int token) {
        add(token, 0);
    }

    void generate(int token) {
        add(token, 1);
    }

    private void add(int token, int occurrences) {
        int slot = find(token);
        if (slots[slot] == EMPTY) {
            if (size == tokens.length) {
                grow();
                slot = find(token);
            }
            slots[slot] = size;
            tokens[size++] = token;
        }
        counts[slots[slot]] += occurrences;
    }

    private int find(int token) {
        int mask = slots.length - 1;
        int slot = (token * 0x9e3779b9 >>> 7) & mask;
        while (slots[slot] != EMPTY && tokens[slots[slot]] != token) {
            slot = slot + 1 & mask;
        }
        return slot;
    }

    private void grow() {
        tokens = Arrays.copyOf(tokens, size * 2);
        counts = Arrays.copyOf(counts, size * 2);
        slots = new int[slots.length * 2];
        Arrays.fill(slots, EMPTY);
        for (int i = 0; i < size; i++) {
            slots[find(tokens[i])] = i;
        }
    }
}
