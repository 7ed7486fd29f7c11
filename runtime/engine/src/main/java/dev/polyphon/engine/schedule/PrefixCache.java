package dev.polyphon.engine.schedule;

import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.AdapterWeights.Span;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.WeakHashMap;

/**
 * Finds blocks that hold the keys and values of a sequence's beginning, because an earlier sequence began in the same way (automatic prefix caching, as in
 * vLLM, Kwon et al. 2023). A full block is known by the block before it, its tokens, and the adapter in the exact version and form that computed it;
 * the first one by who may use it as well. What an adapter that acts from some token on leaves alone before it is the base's. All is compared, not
 * only hashed, so nobody can make two beginnings look alike.
 *
 * <p>Rows are computed bit for bit alike whatever is computed beside them, so outputs are the same with and without this. Used by the step loop's thread
 * alone.
 */
final class PrefixCache {
    private static final int[] NONE = {};
    private static final long BASE = 0;

    /** What tells a block: see the class. */
    private record Key(long before, String scope, long adapter, int[] content) {
        @Override
        public boolean equals(Object other) {
            return other instanceof Key key && before == key.before && adapter == key.adapter && Arrays.equals(content, key.content)
                    && Objects.equals(scope, key.scope);
        }

        @Override
        public int hashCode() {
            return 31 * (31 * Arrays.hashCode(content) + Long.hashCode(before)) + Long.hashCode(adapter) + Objects.hashCode(scope);
        }
    }

    private final BlockPool blocks;
    private final int blockSize;
    private final Map<Key, Integer> known = new HashMap<>();
    private final Key[] keys;
    /** By block, a number that no other content ever has. */
    private final long[] numbers;
    private long lastNumber;
    private final Map<AdapterWeights, Long> adapters = new WeakHashMap<>();
    private long lastAdapter = BASE;
    private long queried;
    private long hit;

    PrefixCache(BlockPool blocks, int blockSize) {
        this.blocks = blocks;
        this.blockSize = blockSize;
        keys = new Key[blocks.size()];
        numbers = new long[blocks.size()];
        blocks.onReuse(this::forget);
    }

    /** The blocks that hold a sequence's beginning, as far as that is {@linkplain Sequence#reusable reusable}. */
    int[] find(Sequence sequence) {
        if (sequence.standing().scope() == null) {
            return NONE;
        }
        int[] found = new int[sequence.reusable() / blockSize];
        int count = 0;
        long before = Sequence.UNCHAINED;
        for (; count < found.length; count++) {
            Integer block = known.get(key(sequence, count, before));
            if (block == null) {
                break;
            }
            found[count] = block;
            before = numbers[block];
        }
        return count * blockSize > sequence.given() ? Arrays.copyOf(found, count) : NONE;
    }

    /** Gives a sequence that has no blocks those that were found for it. */
    void adopt(Sequence sequence, int[] found) {
        for (int block : found) {
            blocks.share(block);
            sequence.addBlock(block);
            sequence.chain(numbers[block]);
        }
        if (found.length > 0) {
            sequence.advanceTo(found.length * blockSize);
        }
    }

    /** Counts what a sequence that begins looked for and found. */
    void count(Sequence sequence) {
        if (sequence.standing().scope() != null) {
            queried += sequence.promptTokens();
            hit += sequence.cachedTokens();
        }
    }

    /** Makes a sequence's full blocks up to a position known, which the step that begins computes. */
    void publish(Sequence sequence, int upTo) {
        if (sequence.standing().scope() == null) {
            return;
        }
        while ((sequence.chained() + 1) * blockSize <= upTo) {
            Key key = key(sequence, sequence.chained(), sequence.chain());
            int block = sequence.blocks()[sequence.chained()];
            Integer same = known.putIfAbsent(key, block);
            if (same == null) {
                keys[block] = key;
                numbers[block] = ++lastNumber;
                blocks.keep(block);
            }
            sequence.chain(numbers[same == null ? block : same]);
        }
    }

    /** Takes back what was made known of a step's work. */
    void withdraw(Work work) {
        Sequence sequence = work.sequence();
        for (int i = work.firstBlock(blockSize); i < sequence.chained(); i++) {
            int block = sequence.blocks()[i];
            if (keys[block] != null) {
                forget(block);
                blocks.drop(block);
            }
        }
    }

    private Key key(Sequence sequence, int index, long before) {
        int start = index * blockSize;
        int end = start + blockSize;
        boolean adapted = sequence.prefixLength() > 0;
        List<Integer> acting = new ArrayList<>(0);
        for (Span span : sequence.spans()) {
            adapted |= span.from() < end;
            if (span.from() < end && span.to() > start) {
                acting.addAll(List.of((int) number(span.adapter()), Math.max(span.from(), start) - start, Math.min(span.to(), end) - start));
            }
        }
        int[] content = new int[blockSize + acting.size()];
        for (int i = 0; i < blockSize; i++) {
            content[i] = sequence.token(start + i);
        }
        for (int i = 0; i < acting.size(); i++) {
            content[blockSize + i] = acting.get(i);
        }
        return new Key(before, sequence.standing().scope(), adapted ? number(sequence.adapter()) : BASE, content);
    }

    private long number(AdapterWeights adapter) {
        return adapters.computeIfAbsent(adapter, a -> ++lastAdapter);
    }

    private void forget(int block) {
        known.remove(keys[block]);
        keys[block] = null;
    }

    /** Forgets everything, since what was published was not computed. */
    void clear() {
        known.values().forEach(blocks::drop);
        known.clear();
        Arrays.fill(keys, null);
    }

    /** Tokens of prompts looked for. */
    long queried() {
        return queried;
    }

    /** Of them, those found. */
    long hit() {
        return hit;
    }
}
