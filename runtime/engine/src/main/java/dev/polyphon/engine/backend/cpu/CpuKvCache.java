package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.KvCache;

/** Keys, then values, of each layer as [block][KV head][position in block][head's columns, padded to whole vectors] in f32. */
final class CpuKvCache implements KvCache {
    private final int kvHeads;
    private final int headDim;
    private final int blocks;
    private final int blockSize;
    private final long positionBytes;
    private final long blockBytes;
    private final NativeMemory[] keys;
    private final NativeMemory[] values;

    CpuKvCache(int layers, int kvHeads, int headDim, int blocks, int blockSize) {
        if (layers < 1 || kvHeads < 1 || headDim < 1 || blocks < 1 || blockSize < 1) {
            throw new IllegalArgumentException("a KV cache of " + layers + " layers, " + kvHeads + " heads of " + headDim + " columns and " + blocks
                    + " blocks of " + blockSize + " positions");
        }
        this.kvHeads = kvHeads;
        this.headDim = headDim;
        this.blocks = blocks;
        this.blockSize = blockSize;
        this.positionBytes = 4L * Lanes.roundUp(headDim);
        this.blockBytes = kvHeads * blockSize * positionBytes;
        this.keys = new NativeMemory[layers];
        this.values = new NativeMemory[layers];
        for (int i = 0; i < layers; i++) {
            keys[i] = new NativeMemory(blocks * blockBytes);
            values[i] = new NativeMemory(blocks * blockBytes);
        }
    }

    int kvHeads() {
        return kvHeads;
    }

    int headDim() {
        return headDim;
    }

    int layers() {
        return keys.length;
    }

    long keys(int layer) {
        return keys[layer].address();
    }

    long values(int layer) {
        return values[layer].address();
    }

    /** Offset of a head's columns at a position in a layer's keys or values. */
    long offset(int[] table, int head, int position) {
        return table[position / blockSize] * blockBytes + ((long) head * blockSize + position % blockSize) * positionBytes;
    }

    /** Bytes from a position to the next of the same block and head. */
    long positionBytes() {
        return positionBytes;
    }

    @Override
    public int blocks() {
        return blocks;
    }

    @Override
    public int blockSize() {
        return blockSize;
    }

    @Override
    public long bytes() {
        return 2L * keys.length * keys[0].bytes();
    }

    @Override
    public void close() {
        for (int i = 0; i < keys.length; i++) {
            keys[i].close();
            values[i].close();
        }
    }
}
