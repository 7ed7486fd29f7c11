package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.KvCache;

/**
 * Keys and values in f32, laid out as the panels that {@link Tiles} multiplies with. Of each block and head the keys are
 * [position / WIDTH][column][position % WIDTH], so that scores lie along the lanes; the values are [column / WIDTH][position][column % WIDTH].
 */
final class CpuKvCache implements KvCache {
    private static final int WIDTH = Panels.WIDTH;
    private static final long ROW = 4L * WIDTH;

    private final int kvHeads;
    private final int headDim;
    private final int blocks;
    private final int blockSize;
    private final long keyBytes;
    private final long valueBytes;
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
        this.keyBytes = panels(blockSize) * headDim * ROW;
        this.valueBytes = panels(headDim) * blockSize * ROW;
        this.keys = new NativeMemory[layers];
        this.values = new NativeMemory[layers];
        for (int i = 0; i < layers; i++) {
            keys[i] = NativeMemory.large(blocks * kvHeads * keyBytes);
            values[i] = NativeMemory.large(blocks * kvHeads * valueBytes);
        }
    }

    private static int panels(int n) {
        return (n + WIDTH - 1) / WIDTH;
    }

    int kvHeads() {
        return kvHeads;
    }

    int headDim() {
        return headDim;
    }

    /** The panel [headDim][WIDTH] of keys with the position {@code inBlock} of a block in it. */
    long keys(int layer, int block, int head, int inBlock) {
        return keys[layer].address() + ((long) block * kvHeads + head) * keyBytes + inBlock / WIDTH * headDim * ROW;
    }

    /** The panel [blockSize][WIDTH] of a block's values with the column in it. */
    long values(int layer, int block, int head, int column) {
        return values[layer].address() + ((long) block * kvHeads + head) * valueBytes + column / WIDTH * blockSize * ROW;
    }

    /** Stores one head's key and value of one position. */
    void write(int layer, int[] table, int head, int position, long key, long value) {
        int block = table[position / blockSize];
        int inBlock = position % blockSize;
        long to = keys(layer, block, head, inBlock) + 4L * (inBlock % WIDTH);
        for (int i = 0; i < headDim; i++) {
            Lanes.set(to + i * ROW, Lanes.get(key + 4L * i));
        }
        for (int i = 0; i < headDim; i += WIDTH) {
            Lanes.copy(value + 4L * i, values(layer, block, head, i) + inBlock * ROW, 4L * Math.min(WIDTH, headDim - i));
        }
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
        return keys.length * (keys[0].bytes() + values[0].bytes());
    }

    @Override
    public void close() {
        for (int i = 0; i < keys.length; i++) {
            keys[i].close();
            values[i].close();
        }
    }
}
