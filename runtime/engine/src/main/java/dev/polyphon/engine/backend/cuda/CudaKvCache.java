package dev.polyphon.engine.backend.cuda;

import dev.polyphon.engine.backend.AddressRange;
import dev.polyphon.engine.backend.Batch;
import dev.polyphon.engine.backend.KvCache;

/**
 * Keys and values of blocks that have memory of their own, wherever the device's has room: of each layer the keys as [head][position][column], then the
 * values, so too in f32, but as [head][column][position] in bf16 (attention.cu). Kernels find a block by its place: how many {@link AddressRange#ALIGNMENT}s it
 * is from the arena's start.
 */
final class CudaKvCache implements KvCache {
    private final AddressRange arena;
    private final boolean rounded;
    private final int layers;
    private final int kvHeads;
    private final int headDim;
    private final int blocks;
    private final int blockSize;
    /** Of each block; 0 while it has no memory. */
    private final long[] addresses;

    CudaKvCache(Device device, boolean rounded, int layers, int kvHeads, int headDim, int blocks, int blockSize) {
        if (layers < 1 || kvHeads < 1 || headDim < 1 || blocks < 1 || blockSize < 1) {
            throw new IllegalArgumentException("a KV cache of " + layers + " layers, " + kvHeads + " heads of " + headDim + " columns and " + blocks
                    + " blocks of " + blockSize + " positions");
        }
        arena = device.arena();
        this.rounded = rounded;
        this.layers = layers;
        this.kvHeads = kvHeads;
        this.headDim = headDim;
        this.blocks = blocks;
        this.blockSize = blockSize;
        addresses = new long[blocks];
    }

    int width() {
        return kvHeads * headDim;
    }

    /** Whether elements are bf16. */
    boolean rounded() {
        return rounded;
    }

    /** Whether attend.cu can read it: sixteen bytes of any element's neighbours are in one place, and 32 positions in one block. */
    boolean tensorCores() {
        return rounded && headDim % 8 == 0 && headDim <= 256 && blockSize % 32 == 0;
    }

    int kvHeads() {
        return kvHeads;
    }

    int headDim() {
        return headDim;
    }

    private long layerBytes() {
        return (rounded ? 2L : 4L) * blockSize * width();
    }

    /** Where a layer's keys would be if the block's place were 0. */
    long keys(int layer) {
        return arena.start() + 2 * layer * layerBytes();
    }

    long values(int layer) {
        return keys(layer) + layerBytes();
    }

    /** @throws IllegalStateException when the block has no memory */
    int place(int block) {
        long address = addresses[block];
        if (address == 0) {
            throw new IllegalStateException("block " + block + " has no memory");
        }
        return Math.toIntExact((address - arena.start()) / AddressRange.ALIGNMENT);
    }

    /** Where each row's key and value go: the block's place and the position in it. */
    int[] slots(Batch batch) {
        int[] slots = new int[2 * batch.rows()];
        for (int s = 0; s < batch.sequences(); s++) {
            for (int r = batch.firstRow()[s]; r < batch.firstRow()[s + 1]; r++) {
                int position = batch.positions()[r];
                slots[2 * r] = place(batch.blocks()[s][position / blockSize]);
                slots[2 * r + 1] = position % blockSize;
            }
        }
        return slots;
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
        return (rounded ? 4L : 8L) * layers * blockSize * width();
    }

    @Override
    public void open(int block) {
        if (addresses[block] == 0) {
            addresses[block] = arena.takeHigh(blockBytes(), "keys and values of " + blockSize + " positions");
        }
    }

    @Override
    public Runnable close(int block) {
        long address = addresses[block];
        addresses[block] = 0;
        return address == 0 ? null : () -> arena.release(address);
    }

    @Override
    public void close() {
        for (int i = 0; i < blocks; i++) {
            Runnable free = close(i);
            if (free != null) {
                free.run();
            }
        }
    }
}
