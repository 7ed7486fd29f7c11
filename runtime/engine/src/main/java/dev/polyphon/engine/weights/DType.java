package dev.polyphon.engine.weights;

/**
 * How a tensor's elements are stored. The quantised kinds are GGML's: {@code blockSize} consecutive elements of a row share one block of
 * {@code blockBytes} bytes (<a href="https://github.com/ggml-org/ggml/blob/master/docs/gguf.md">GGUF specification</a>).
 */
public enum DType {
    F64(1, 8),
    F32(1, 4),
    F16(1, 2),
    BF16(1, 2),
    I64(1, 8),
    I32(1, 4),
    I16(1, 2),
    I8(1, 1),
    U8(1, 1),
    BOOL(1, 1),
    Q8_0(32, 34),
    Q4_0(32, 18),
    Q4_1(32, 20),
    Q4_K(256, 144),
    Q5_K(256, 176),
    Q6_K(256, 210);

    private final int blockSize;
    private final int blockBytes;

    DType(int blockSize, int blockBytes) {
        this.blockSize = blockSize;
        this.blockBytes = blockBytes;
    }

    /** Elements in a block; 1 for plain types. */
    public int blockSize() {
        return blockSize;
    }

    /** Bytes of a block. */
    public int blockBytes() {
        return blockBytes;
    }

    public boolean quantised() {
        return blockSize > 1;
    }

    /** Bytes of so many elements, which must be whole blocks. */
    public long bytes(long elements) {
        if (elements % blockSize != 0) {
            throw new IllegalArgumentException(elements + " elements are not whole blocks of " + this + " (" + blockSize + ")");
        }
        return Math.multiplyExact(elements / blockSize, (long) blockBytes);
    }
}
