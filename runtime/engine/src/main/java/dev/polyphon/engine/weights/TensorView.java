package dev.polyphon.engine.weights;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * A named tensor inside a file, row major, its bytes where the file's mapping has them. A view lives as long as the file it came from.
 *
 * @param name as the file has it
 * @param dtype how elements are stored
 * @param shape outermost dimension first: a linear layer's weight is [out, in]
 * @param data exactly the tensor's bytes, little endian
 */
public record TensorView(String name, DType dtype, long[] shape, MemorySegment data) {

    public TensorView {
        shape = shape.clone();
        long elements = 1;
        for (long d : shape) {
            if (d < 0) {
                throw new IllegalArgumentException("tensor " + name + " has a negative dimension: " + Arrays.toString(shape));
            }
            elements = Math.multiplyExact(elements, d);
        }
        if (data.byteSize() != dtype.bytes(elements)) {
            throw new IllegalArgumentException("tensor " + name + " of " + dtype + Arrays.toString(shape) + " needs " + dtype.bytes(elements)
                    + " bytes, found " + data.byteSize());
        }
    }

    public long elements() {
        long n = 1;
        for (long d : shape) {
            n *= d;
        }
        return n;
    }

    /** Size of a dimension, outermost first. */
    public int dim(int i) {
        return Math.toIntExact(shape[i]);
    }

    public int rank() {
        return shape.length;
    }

    /** One of the tensors along the outermost dimension. */
    public TensorView slice(int index) {
        long bytes = data.byteSize() / shape[0];
        return new TensorView(name + "[" + index + "]", dtype, Arrays.copyOfRange(shape, 1, shape.length), data.asSlice(index * bytes, bytes));
    }

    /** Type and shape for messages, for example {@code F32[576, 192]}. */
    public String describe() {
        return dtype + Arrays.toString(shape);
    }
}
