package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.KvCache;

/**
 * Keys and values in f32, laid out as the panels that {@link Tiles} multiplies with. A block has memory of its own: of each layer the keys of all heads, then
 * the values. Of a head the keys are [position / WIDTH][column][position % WIDTH], so that scores lie along the lanes; the values are
 * [column / WIDTH][position][column % WIDTH].
 */
final class CpuKvCache implements KvCache {
    private static final int WIDTH = Panels.WIDTH;
    private static final long ROW = 4L * WIDTH;

    private final int layers;
    private final int kvHeads;
    private final int headDim;
    private final int blocks;
    private final int blockSize;
    private final long keyBytes;
    private final long valueBytes;
    private final long layerBytes;
    private final NativeMemory[] memory;
    /** Of each block's memory; 0 while it has none. */
    private final long[] addresses;

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
        this.layerBytes = kvHeads * (keyBytes + valueBytes);
        this.layers = layers;
        this.memory = new NativeMemory[blocks];
        this.addresses = new long[blocks];
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
        return layer(layer, block) + head * keyBytes + inBlock / WIDTH * headDim * ROW;
    }

    /** The panel [blockSize][WIDTH] of a block's values with the column in it. */
    long values(int layer, int block, int head, int column) {
        return layer(layer, block) + kvHeads * keyBytes + head * valueBytes + column / WIDTH * blockSize * ROW;
    }

    private long layer(int layer, int block) {
        long address = addresses[block];
        if (address == 0) {
            throw new IllegalStateException("block " + block + " has no memory");
        }
        return address + layer * layerBytes;
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
    public long blockBytes() {
        return layers * layerBytes;
    }

    @Override
    public void open(int block) {
        if (memory[block] == null) {
            memory[block] = NativeMemory.large(blockBytes());
            addresses[block] = memory[block].address();
        }
    }

    @Override
    public Runnable close(int block) {
        NativeMemory its = memory[block];
        memory[block] = null;
        addresses[block] = 0;
        return its == null ? null : its::close;
    }

    @Override
    public void close() {
        for (int i = 0; i < memory.length; i++) {
            Runnable free = close(i);
            if (free != null) {
                free.run();
            }
        }
    }
}
