package dev.polyphon.engine.schedule;

import dev.polyphon.engine.model.AdapterWeights;
import java.util.Arrays;

/**
 * One continuation of one prompt as the scheduler sees it: its tokens, how many of them the cache holds, and in which blocks. Used by the step
 * loop's thread alone once it was handed over.
 */
public class Sequence {
    private static final int[] NO_BLOCKS = {};

    private final AdapterWeights adapter;
    private final int promptLength;
    private int[] tokens;
    private int length;
    private int computed;
    private int[] blocks = NO_BLOCKS;
    private int blockCount;

    /**
     * @param prompt at least one token
     * @param adapter what its rows use; null for the base alone
     */
    public Sequence(int[] prompt, AdapterWeights adapter) {
        if (prompt.length == 0) {
            throw new IllegalArgumentException("a prompt has at least one token");
        }
        this.adapter = adapter;
        tokens = Arrays.copyOf(prompt, prompt.length + 16);
        promptLength = prompt.length;
        length = prompt.length;
    }

    public final AdapterWeights adapter() {
        return adapter;
    }

    public final int promptLength() {
        return promptLength;
    }

    /** Tokens known: the prompt and what was generated. */
    public final int length() {
        return length;
    }

    public final int generated() {
        return length - promptLength;
    }

    /** Tokens whose keys and values are in the cache. */
    public final int computed() {
        return computed;
    }

    /** Tokens still to be computed: one while decoding, more in prefill. */
    public final int pending() {
        return length - computed;
    }

    public final int token(int position) {
        return tokens[position];
    }

    final int[] blocks() {
        return blocks;
    }

    final int blockCount() {
        return blockCount;
    }

    final void append(int token) {
        if (length == tokens.length) {
            tokens = Arrays.copyOf(tokens, 2 * length);
        }
        tokens[length++] = token;
    }

    final void advance(int rows) {
        computed += rows;
    }

    final void addBlock(int block) {
        if (blockCount == blocks.length) {
            blocks = Arrays.copyOf(blocks, Math.max(8, 2 * blockCount));
        }
        blocks[blockCount++] = block;
    }

    /** Gives all blocks back; what was in them has to be computed again. */
    final void releaseBlocks(BlockPool pool) {
        for (int i = 0; i < blockCount; i++) {
            pool.release(blocks[i]);
        }
        blocks = NO_BLOCKS;
        blockCount = 0;
        computed = 0;
    }
}
