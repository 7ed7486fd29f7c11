package dev.polyphon.engine.weights;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;

/** Where a tensor's bytes stand in a file's data section, and the checks on sizes and places that the formats share. */
record Extent(String tensor, long start, long end) {

    /** Bytes of a tensor; refuses a shape that is negative, too large or not in whole blocks. */
    static long bytes(Path file, String tensor, DType dtype, long[] shape) throws MalformedFileException {
        if (shape.length > Limits.DIMENSIONS) {
            throw new MalformedFileException(file, "tensor '%s' has %d dimensions, at most %d are allowed".formatted(tensor, shape.length, Limits.DIMENSIONS));
        }
        long innermost = shape.length == 0 ? 1 : shape[shape.length - 1];
        if (innermost % dtype.blockSize() != 0) {
            throw new MalformedFileException(file, "tensor '%s' has rows of %d elements, not whole blocks of %s (%d)"
                    .formatted(tensor, innermost, dtype, dtype.blockSize()));
        }
        long elements = 1;
        try {
            for (long dimension : shape) {
                if (dimension < 0 || dimension > Integer.MAX_VALUE) {
                    throw new MalformedFileException(file, "tensor '%s' has a dimension outside 0 to %d: %s"
                            .formatted(tensor, Integer.MAX_VALUE, Arrays.toString(shape)));
                }
                elements = Math.multiplyExact(elements, dimension);
            }
            return dtype.bytes(elements);
        } catch (ArithmeticException e) {
            throw new MalformedFileException(file, "tensor '%s' is too large: %s%s".formatted(tensor, dtype, Arrays.toString(shape)), e);
        }
    }

    /**
     * Refuses tensors that share bytes.
     *
     * @return the extents in the order of their bytes
     */
    static List<Extent> apart(Path file, List<Extent> extents) throws MalformedFileException {
        List<Extent> sorted = extents.stream().sorted(Comparator.comparingLong(Extent::start).thenComparingLong(Extent::end)).toList();
        for (int i = 1; i < sorted.size(); i++) {
            Extent before = sorted.get(i - 1);
            Extent here = sorted.get(i);
            if (here.start < before.end) {
                throw new MalformedFileException(file, "tensors '%s' (bytes %d to %d) and '%s' (bytes %d to %d) overlap"
                        .formatted(before.tensor, before.start, before.end, here.tensor, here.start, here.end));
            }
        }
        return sorted;
    }
}
