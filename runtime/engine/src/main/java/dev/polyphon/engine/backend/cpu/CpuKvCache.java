package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.backend.cpu.TileCode.Floats;

/**
 * Keys and values in f32 or f16, laid out as the panels that tiles multiply with. A block has memory of its own: of each layer the keys of all heads, then
 * the values. Of a head the keys are [position / WIDTH][column][position % WIDTH], so that scores lie along the lanes; the values are
 * [column / WIDTH][position][column % WIDTH].
 */
final class CpuKvCache implements KvCache {
    private static final int WIDTH = Panels.WIDTH;
    /** The largest half float: what is beyond it is kept as that instead of infinity. */
    private static final float LARGEST = 65504;

    private final boolean halves;
    /** Bytes of a panel's row. */
    private final long row;
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

    CpuKvCache(int layers, int kvHeads, int headDim, int blocks, int blockSize, boolean halves) {
        if (layers < 1 || kvHeads < 1 || headDim < 1 || blocks < 1 || blockSize < 1) {
            throw new IllegalArgumentException("a KV cache of " + layers + " layers, " + kvHeads + " heads of " + headDim + " columns and " + blocks
                    + " blocks of " + blockSize + " positions");
        }
        this.halves = halves;
        this.row = (halves ? 2L : 4L) * WIDTH;
        this.kvHeads = kvHeads;
        this.headDim = headDim;
        this.blocks = blocks;
        this.blockSize = blockSize;
        this.keyBytes = panels(blockSize) * headDim * row;
        this.valueBytes = panels(headDim) * blockSize * row;
        this.layerBytes = kvHeads * (keyBytes + valueBytes);
        this.layers = layers;
        this.memory = new NativeMemory[blocks];
        this.addresses = new long[blocks];
    }

    private static int panels(int n) {
        return (n + WIDTH - 1) / WIDTH;
    }

    /** What panels hold. */
    Floats type() {
        return halves ? Floats.F16 : Floats.F32;
    }

    /** Bytes of one of a panel's rows. */
    long rowBytes() {
        return row;
    }

    int kvHeads() {
        return kvHeads;
    }

    int headDim() {
        return headDim;
    }

    /** The panel [headDim][WIDTH] of keys with the position {@code inBlock} of a block in it. */
    long keys(int layer, int block, int head, int inBlock) {
        return layer(layer, block) + head * keyBytes + inBlock / WIDTH * headDim * row;
    }

    /** The panel [blockSize][WIDTH] of a block's values with the column in it. */
    long values(int layer, int block, int head, int column) {
        return layer(layer, block) + kvHeads * keyBytes + head * valueBytes + column / WIDTH * blockSize * row;
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
        long to = keys(layer, block, head, inBlock) + row / WIDTH * (inBlock % WIDTH);
        for (int i = 0; i < headDim; i++) {
            put(to + i * row, Lanes.get(key + 4L * i));
        }
        for (int i = 0; i < headDim; i += WIDTH) {
            long values = values(layer, block, head, i) + inBlock * row;
            int width = Math.min(WIDTH, headDim - i);
            if (!halves) {
                Lanes.copy(value + 4L * i, values, 4L * width);
                continue;
            }
            for (int c = 0; c < width; c++) {
                put(values + 2L * c, Lanes.get(value + 4L * (i + c)));
            }
        }
    }

    private void put(long to, float value) {
        if (halves) {
            Lanes.setShort(to, Float.floatToFloat16(Math.clamp(value, -LARGEST, LARGEST)));
        } else {
            Lanes.set(to, value);
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
