package dev.polyphon.engine.backend.cuda;

import dev.polyphon.engine.backend.AddressRange;
import dev.polyphon.engine.backend.Batch;
import dev.polyphon.engine.backend.KvCache;

/**
 * Of each layer all keys, then all values: keys as [block][head][position][column], values so too in f32, but [block][head][column][position] in bf16
 * (attention.cu).
 */
final class CudaKvCache implements KvCache {
    private final AddressRange arena;
    private final boolean rounded;
    private final int layers;
    private final int kvHeads;
    private final int headDim;
    private final int blocks;
    private final int blockSize;
    private final long address;
    private boolean closed;

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
        address = arena.take(blocks * blockBytes(), "keys and values of " + blocks + " blocks of " + blockSize + " positions");
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
        return (rounded ? 2L : 4L) * blocks * blockSize * width();
    }

    long keys(int layer) {
        return address + 2 * layer * layerBytes();
    }

    long values(int layer) {
        return keys(layer) + layerBytes();
    }

    /** Where each row's key and value go, in positions of the whole cache. */
    int[] slots(Batch batch) {
        int[] slots = new int[batch.rows()];
        for (int s = 0; s < batch.sequences(); s++) {
            for (int r = batch.firstRow()[s]; r < batch.firstRow()[s + 1]; r++) {
                int position = batch.positions()[r];
                slots[r] = batch.blocks()[s][position / blockSize] * blockSize + position % blockSize;
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
    public void close() {
        if (!closed) {
            closed = true;
            arena.release(address);
        }
    }
}
