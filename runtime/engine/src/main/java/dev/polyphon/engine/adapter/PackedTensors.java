package dev.polyphon.engine.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.engine.weights.TensorFile;
import dev.polyphon.engine.weights.TensorView;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Matrices stored smaller than their values: pruned by a mask, or as one bit each. Bits are packed low bit first, row by row. */
public final class PackedTensors {
    private static final int MOST_ELEMENTS = 1 << 28;

    /** By the ending that tells how a matrix is stored, those of all its tensors. */
    private static final Map<String, List<String>> PIECES = Map.of(".mask", List.of(".mask", ".values", ".shape"), ".bits", List.of(".bits", ".levels", ".shape"),
            ".codes", List.of(".codes", ".scales"));

    /**
     * A matrix that is stored so.
     *
     * @param name of its tensors without their endings
     * @param pieces the tensors' names
     * @param parameters values that are kept
     */
    public record Packed(String name, List<String> pieces, Matrix matrix, long parameters) {}

    private PackedTensors() {}

    /** All matrices of a file that are stored so. @throws AdapterFault when one of them is not as it should be */
    public static List<Packed> of(TensorFile file) throws AdapterFault {
        List<Packed> all = new ArrayList<>();
        AdapterTensors tensors = new AdapterTensors(file);
        for (TensorView tensor : file.tensors()) {
            String ending = tensor.name().substring(Math.max(0, tensor.name().lastIndexOf('.')));
            String name = tensor.name().substring(0, tensor.name().length() - ending.length());
            String inside = AdapterTensors.withoutPrefix(name);
            if (PIECES.containsKey(ending) && PIECES.get(ending).stream().map(inside::concat).allMatch(tensors.names()::contains)) {
                Matrix matrix = switch (ending) {
                    case ".mask" -> masked(tensors, inside);
                    case ".bits" -> oneBit(tensors, inside);
                    default -> eightBit(tensors, inside);
                };
                all.add(new Packed(name, PIECES.get(ending).stream().map(name::concat).toList(), matrix,
                        ending.equals(".mask") ? tensors.take(inside + ".values").elements() : matrix.data().length));
            }
        }
        return all;
    }

    /** {@code .mask}, {@code .values} (those kept, in order) and {@code .shape}. */
    static Matrix masked(AdapterTensors tensors, String name) throws AdapterFault {
        int[] shape = shape(tensors, name);
        int elements = shape[0] * shape[1];
        float[] mask = tensors.values(name + ".mask", (elements + 7) / 8);
        float[] kept = tensors.values(name + ".values", -1);
        float[] data = new float[elements];
        int next = 0;
        for (int i = 0; i < elements; i++) {
            if (bit(mask, i)) {
                if (next == kept.length) {
                    throw new AdapterFault("tensor " + name + ".values has " + kept.length + " values, its mask keeps more");
                }
                data[i] = kept[next++];
            }
        }
        if (next != kept.length) {
            throw new AdapterFault("tensor " + name + ".values has " + kept.length + " values, its mask keeps " + next);
        }
        return new Matrix(shape[0], shape[1], data);
    }

    /** {@code .bits}, {@code .levels} (what 0 and 1 stand for) and {@code .shape}. */
    static Matrix oneBit(AdapterTensors tensors, String name) throws AdapterFault {
        int[] shape = shape(tensors, name);
        int elements = shape[0] * shape[1];
        float[] bits = tensors.values(name + ".bits", (elements + 7) / 8);
        float[] levels = tensors.values(name + ".levels", 2);
        float[] data = new float[elements];
        for (int i = 0; i < elements; i++) {
            data[i] = levels[bit(bits, i) ? 1 : 0];
        }
        return new Matrix(shape[0], shape[1], data);
    }

    /** {@code .codes} and, by row, {@code .scales}. */
    static Matrix eightBit(AdapterTensors tensors, String name) throws AdapterFault {
        Matrix codes = tensors.matrix(name + ".codes");
        float[] scales = tensors.vector(name + ".scales", codes.rows());
        return Matrix.of(codes.rows(), codes.columns(), (r, c) -> codes.at(r, c) * scales[r]);
    }

    /** Bits of each stored value as the options say: 0 for matrices stored as they are. */
    static int bits(AdapterOptions options) throws AdapterFault {
        JsonNode quantization = options.json("quantization");
        if (quantization.isMissingNode() || quantization.isNull()) {
            return 0;
        }
        int bits = quantization.path("bits").asInt();
        if (bits != 1 && bits != 8) {
            throw new AdapterFault("quantization = " + quantization + " is not supported");
        }
        return bits;
    }

    /** The ending that tells a matrix so stored. */
    static String ending(int bits) {
        return switch (bits) {
            case 1 -> ".bits";
            case 8 -> ".codes";
            default -> ".weight";
        };
    }

    /** A matrix of a shape, stored with so many bits. */
    static Matrix matrix(AdapterTensors tensors, String name, int bits, int rows, int columns) throws AdapterFault {
        Matrix matrix = switch (bits) {
            case 1 -> oneBit(tensors, name);
            case 8 -> eightBit(tensors, name);
            default -> tensors.matrix(name + ".weight");
        };
        if (matrix.rows() != rows || matrix.columns() != columns) {
            throw new AdapterFault("tensor " + name + ending(bits) + " is of [" + matrix.rows() + ", " + matrix.columns() + "], this base needs [" + rows
                    + ", " + columns + "]");
        }
        return matrix;
    }

    private static boolean bit(float[] bytes, int i) {
        return ((int) bytes[i / 8] >> i % 8 & 1) != 0;
    }

    private static int[] shape(AdapterTensors tensors, String name) throws AdapterFault {
        float[] shape = tensors.values(name + ".shape", 2);
        if (!(shape[0] >= 1 && shape[1] >= 1 && (double) shape[0] * shape[1] <= MOST_ELEMENTS)) {
            throw new AdapterFault("tensor " + name + ".shape says [" + shape[0] + ", " + shape[1] + "]");
        }
        return new int[] {(int) shape[0], (int) shape[1]};
    }
}
