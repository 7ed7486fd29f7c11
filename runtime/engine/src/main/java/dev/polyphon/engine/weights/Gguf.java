package dev.polyphon.engine.weights;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import java.util.Set;

/**
 * A GGUF file, version 2 or 3, little endian (<a href="https://github.com/ggml-org/ggml/blob/master/docs/gguf.md">specification</a>): metadata
 * and tensors of types F64, F32, F16, BF16, I8 to I64, Q8_0, Q4_0, Q4_1, Q5_0, Q4_K, Q5_K and Q6_K. GGUF lists dimensions innermost first; the views
 * have them outermost first, so a linear layer's weight is [out, in] like everywhere else.
 *
 * <p>Metadata is decoded when asked for. A getter throws {@link MalformedFileException} when the key is missing or its value is of another
 * kind; its {@code find} sibling is empty when the key is missing.
 */
public final class Gguf implements TensorFile {

    private static final int MAGIC = 0x46554747;
    private static final int LONGEST_NAME = 65_535;
    private static final int MOST_DIMENSIONS = 4;
    private static final int DEFAULT_ALIGNMENT = 32;

    /** Types of metadata values in the order of their numbers. */
    private enum Kind {
        UINT8(1), INT8(1), UINT16(2), INT16(2), UINT32(4), INT32(4), FLOAT32(4), BOOL(1), STRING(8), ARRAY(12), UINT64(8), INT64(8), FLOAT64(8);

        private static final Kind[] BY_NUMBER = values();

        /** Bytes of a value; of a string or array the fewest. */
        private final int bytes;

        Kind(int bytes) {
            this.bytes = bytes;
        }

        boolean integer() {
            return switch (this) {
                case UINT8, INT8, UINT16, INT16, UINT32, INT32, UINT64, INT64 -> true;
                default -> false;
            };
        }

        boolean number() {
            return integer() || this == FLOAT32 || this == FLOAT64;
        }
    }

    /** Where a value stands: one of {@code kind}, or an array of {@code count} of them; with its type, from {@code start} to {@code end}. */
    private record Value(boolean array, Kind kind, long count, long position, long start, long end) {

        String describe() {
            return array ? kind + "[" + count + "]" : kind.toString();
        }
    }

    /** @param fiveBits whether it is of Q5_0 in the file, and Q8_0 from here on: see {@link FiveBits} */
    private record TensorInfo(String name, DType dtype, long[] shape, long offset, long bytes, boolean fiveBits) {}

    /** Its view is made when it is first asked for: widening takes time and memory, which is spared who opens the file for its metadata. */
    private static final class Tensor {
        private final TensorInfo info;
        private final MemorySegment data;
        private TensorView view;

        Tensor(TensorInfo info, MemorySegment data) {
            this.info = info;
            this.data = data;
        }

        synchronized TensorView view() {
            if (view == null) {
                view = new TensorView(info.name, info.dtype, info.shape, info.fiveBits ? FiveBits.widened(data) : data);
            }
            return view;
        }
    }

    private final Path file;
    private final Mapping mapping;
    private final MemorySegment bytes;
    private final Map<String, Value> metadata = new LinkedHashMap<>();
    private final Map<String, Tensor> tensors = new LinkedHashMap<>();

    /**
     * Maps a file and checks all of its structure.
     *
     * @throws MalformedFileException if it is not a valid GGUF file of a supported version with supported tensor types
     * @throws IOException if it cannot be read
     */
    public static Gguf open(Path file) throws IOException {
        Mapping mapping = new Mapping();
        try {
            return new Gguf(file, mapping);
        } catch (Throwable t) {
            mapping.close();
            throw t;
        }
    }

    private Gguf(Path file, Mapping mapping) throws IOException {
        this.file = file;
        this.mapping = mapping;
        this.bytes = mapping.map(file);
        Cursor cursor = new Cursor(file, bytes, 0);
        readVersion(cursor);
        long tensorCount = cursor.count(8 + 4 + 4 + 8, "the number of tensors");
        long metadataCount = cursor.count(8 + 4 + 1, "the number of metadata entries");
        if (tensorCount > Limits.TENSORS || metadataCount > Limits.METADATA) {
            throw malformed("%d tensors and %d metadata entries, at most %d and %d are allowed"
                    .formatted(tensorCount, metadataCount, Limits.TENSORS, Limits.METADATA));
        }
        for (long i = 0; i < metadataCount; i++) {
            readMetadata(cursor);
        }
        if (findInteger("split.count").orElse(1) > 1) {
            throw malformed("the model is split over %d files; merge them into one with llama-gguf-split --merge".formatted(integer("split.count")));
        }
        long alignment = findInteger("general.alignment").orElse(DEFAULT_ALIGNMENT);
        if (alignment < 1 || alignment > 1 << 30 || Long.bitCount(alignment) != 1) {
            throw malformed("metadata 'general.alignment' is %d, not a power of two".formatted(alignment));
        }
        readTensors(cursor, tensorCount, alignment);
    }

    private static void readVersion(Cursor cursor) throws MalformedFileException {
        int magic = cursor.int32("the magic number");
        if (magic != MAGIC) {
            throw cursor.malformed("not a GGUF file: it starts with 0x%08X, expected 0x%08X ('GGUF')"
                    .formatted(Integer.reverseBytes(magic), Integer.reverseBytes(MAGIC)));
        }
        int version = cursor.int32("the version");
        if (version != 2 && version != 3) {
            int swapped = Integer.reverseBytes(version);
            throw cursor.malformed(swapped == 2 || swapped == 3
                    ? "a big-endian GGUF file; only little-endian ones are supported"
                    : "GGUF version %s; versions 2 and 3 are supported".formatted(Integer.toUnsignedString(version)));
        }
    }

    private void readMetadata(Cursor cursor) throws MalformedFileException {
        String key = readName(cursor, "a metadata key");
        String what = "metadata '" + key + "'";
        long start = cursor.position();
        Kind kind = readKind(cursor, what);
        boolean array = kind == Kind.ARRAY;
        long count = 1;
        long position;
        if (array) {
            kind = readKind(cursor, what);
            if (kind == Kind.ARRAY) {
                throw malformed(what + " is an array of arrays, which is not supported");
            }
            count = cursor.count(kind.bytes, "the length of " + what);
            position = cursor.position();
            if (kind == Kind.STRING) {
                for (long i = 0; i < count; i++) {
                    cursor.skip(cursor.int64(what), what);
                }
            } else {
                cursor.skip(count * kind.bytes, what);
            }
        } else {
            position = cursor.position();
            cursor.skip(kind == Kind.STRING ? cursor.int64(what) : kind.bytes, what);
        }
        Value value = new Value(array, kind, count, position, start, cursor.position());
        if (metadata.putIfAbsent(key, value) != null) {
            throw malformed(what + " appears twice");
        }
    }

    private static Kind readKind(Cursor cursor, String what) throws MalformedFileException {
        long number = cursor.uint32(what);
        if (number >= Kind.BY_NUMBER.length) {
            throw cursor.malformed("%s has the unknown value type %d".formatted(what, number));
        }
        return Kind.BY_NUMBER[(int) number];
    }

    private static String readName(Cursor cursor, String what) throws MalformedFileException {
        long at = cursor.position();
        long length = cursor.int64(what);
        if (length < 0 || length > LONGEST_NAME) {
            throw cursor.malformed("%s at byte %d is %s bytes long, the longest allowed is %d"
                    .formatted(what, at, Long.toUnsignedString(length), LONGEST_NAME));
        }
        return cursor.utf8(length, what);
    }

    private void readTensors(Cursor cursor, long count, long alignment) throws MalformedFileException {
        cursor.checkedCount(count, 8 + 4 + 4 + 8, "the number of tensors");
        List<TensorInfo> infos = new ArrayList<>();
        List<Extent> extents = new ArrayList<>();
        for (long i = 0; i < count; i++) {
            TensorInfo info = readTensorInfo(cursor);
            if (info.offset % alignment != 0) {
                throw malformed("tensor '%s' stands at offset %s, not a multiple of the alignment %d"
                        .formatted(info.name, Long.toUnsignedString(info.offset), alignment));
            }
            infos.add(info);
        }
        long padding = -cursor.position() & alignment - 1;
        long start = cursor.position() + Math.min(padding, cursor.remaining());
        long size = bytes.byteSize() - start;
        for (TensorInfo info : infos) {
            if (info.offset < 0 || info.offset > size || info.bytes > size - info.offset) {
                throw malformed("tensor '%s' needs %d bytes at offset %s, but the file has %d bytes of tensor data"
                        .formatted(info.name, info.bytes, Long.toUnsignedString(info.offset), size));
            }
            extents.add(new Extent(info.name, info.offset, info.offset + info.bytes));
            if (tensors.putIfAbsent(info.name, new Tensor(info, bytes.asSlice(start + info.offset, info.bytes))) != null) {
                throw malformed("tensor '%s' appears twice".formatted(info.name));
            }
        }
        Extent.apart(file, extents);
    }

    private TensorInfo readTensorInfo(Cursor cursor) throws MalformedFileException {
        String name = readName(cursor, "a tensor name");
        String what = "tensor '" + name + "'";
        long rank = cursor.uint32(what);
        if (rank > MOST_DIMENSIONS) {
            throw malformed("%s has %d dimensions, at most %d are allowed".formatted(what, rank, MOST_DIMENSIONS));
        }
        long[] shape = new long[(int) rank];
        for (int i = shape.length - 1; i >= 0; i--) {
            shape[i] = cursor.int64(what);
        }
        long type = cursor.uint32(what);
        boolean fiveBits = type == FiveBits.NUMBER;
        DType dtype = fiveBits ? DType.Q8_0 : tensorType(what, type);
        long bytes = Extent.bytes(file, name, dtype, shape);
        return new TensorInfo(name, dtype, shape, cursor.int64(what), fiveBits ? bytes / DType.Q8_0.blockBytes() * FiveBits.BLOCK_BYTES : bytes, fiveBits);
    }

    private DType tensorType(String what, long number) throws MalformedFileException {
        for (DType type : DType.values()) {
            if (number(type) == number) {
                return type;
            }
        }
        throw malformed("%s has type %s, which is not supported; use F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q4_K, Q5_K or Q6_K"
                .formatted(what, unsupportedType(number)));
    }

    /** GGML's number of a type; -1 for those it does not have. */
    static int number(DType type) {
        return switch (type) {
            case F32 -> 0;
            case F16 -> 1;
            case Q4_0 -> 2;
            case Q4_1 -> 3;
            case Q8_0 -> 8;
            case Q4_K -> 12;
            case Q5_K -> 13;
            case Q6_K -> 14;
            case I8 -> 24;
            case I16 -> 25;
            case I32 -> 26;
            case I64 -> 27;
            case F64 -> 28;
            case BF16 -> 30;
            case U8, BOOL -> -1;
        };
    }

    private static String unsupportedType(long number) {
        String name = switch ((int) number) {
            case 7 -> "Q5_1";
            case 9 -> "Q8_1";
            case 10 -> "Q2_K";
            case 11 -> "Q3_K";
            case 15 -> "Q8_K";
            case 16 -> "IQ2_XXS";
            case 17 -> "IQ2_XS";
            case 18 -> "IQ3_XXS";
            case 19 -> "IQ1_S";
            case 20 -> "IQ4_NL";
            case 21 -> "IQ3_S";
            case 22 -> "IQ2_S";
            case 23 -> "IQ4_XS";
            case 29 -> "IQ1_M";
            case 34 -> "TQ1_0";
            case 35 -> "TQ2_0";
            case 39 -> "MXFP4";
            default -> "unknown";
        };
        return name + " (GGML type " + number + ")";
    }

    @Override
    public Collection<TensorView> tensors() {
        return tensors.values().stream().map(Tensor::view).toList();
    }

    @Override
    public Optional<TensorView> find(String name) {
        return Optional.ofNullable(tensors.get(name)).map(Tensor::view);
    }

    /** All metadata keys, in the file's order. */
    public Set<String> keys() {
        return Collections.unmodifiableSet(metadata.keySet());
    }

    /** A metadata entry's type and value as they are in the file. */
    MemorySegment encoded(String key) {
        Value value = metadata.get(key);
        return bytes.asSlice(value.start, value.end - value.start);
    }

    public String string(String key) throws MalformedFileException {
        Value value = scalar(key, "a string");
        if (value.kind != Kind.STRING) {
            throw wrongKind(key, "a string", value);
        }
        return stringAt(new Cursor(file, bytes, value.position), "metadata '" + key + "'");
    }

    public Optional<String> findString(String key) throws MalformedFileException {
        return metadata.containsKey(key) ? Optional.of(string(key)) : Optional.empty();
    }

    /** An integer of any width. */
    public long integer(String key) throws MalformedFileException {
        Value value = scalar(key, "an integer");
        if (!value.kind.integer()) {
            throw wrongKind(key, "an integer", value);
        }
        return integerAt(key, value.kind, value.position);
    }

    public OptionalLong findInteger(String key) throws MalformedFileException {
        return metadata.containsKey(key) ? OptionalLong.of(integer(key)) : OptionalLong.empty();
    }

    /** A floating-point number, or an integer as one. */
    public double floating(String key) throws MalformedFileException {
        Value value = scalar(key, "a number");
        if (!value.kind.number()) {
            throw wrongKind(key, "a number", value);
        }
        return floatingAt(key, value.kind, value.position);
    }

    public OptionalDouble findFloating(String key) throws MalformedFileException {
        return metadata.containsKey(key) ? OptionalDouble.of(floating(key)) : OptionalDouble.empty();
    }

    public boolean bool(String key) throws MalformedFileException {
        Value value = scalar(key, "a bool");
        if (value.kind != Kind.BOOL) {
            throw wrongKind(key, "a bool", value);
        }
        byte b = bytes.get(ValueLayout.JAVA_BYTE, value.position);
        if (b != 0 && b != 1) {
            throw malformed("metadata '%s' is a bool of value %d, expected 0 or 1".formatted(key, b));
        }
        return b == 1;
    }

    public Optional<Boolean> findBool(String key) throws MalformedFileException {
        return metadata.containsKey(key) ? Optional.of(bool(key)) : Optional.empty();
    }

    /** An array of strings, immutable. Decoded on every call: keep the answer. */
    public List<String> strings(String key) throws MalformedFileException {
        Value value = array(key, "an array of strings");
        if (value.kind != Kind.STRING) {
            throw wrongKind(key, "an array of strings", value);
        }
        String[] strings = new String[length(key, value)];
        Cursor cursor = new Cursor(file, bytes, value.position);
        String what = "metadata '" + key + "'";
        for (int i = 0; i < strings.length; i++) {
            strings[i] = stringAt(cursor, what);
        }
        return List.of(strings);
    }

    public Optional<List<String>> findStrings(String key) throws MalformedFileException {
        return metadata.containsKey(key) ? Optional.of(strings(key)) : Optional.empty();
    }

    /** An array of integers, each of which fits an {@code int}. */
    public int[] ints(String key) throws MalformedFileException {
        Value value = array(key, "an array of integers");
        if (!value.kind.integer()) {
            throw wrongKind(key, "an array of integers", value);
        }
        int[] ints = new int[length(key, value)];
        for (int i = 0; i < ints.length; i++) {
            long element = integerAt(key, value.kind, value.position + (long) i * value.kind.bytes);
            if (element != (int) element) {
                throw malformed("metadata '%s' has %d at index %d, which does not fit 32 bits".formatted(key, element, i));
            }
            ints[i] = (int) element;
        }
        return ints;
    }

    public Optional<int[]> findInts(String key) throws MalformedFileException {
        return metadata.containsKey(key) ? Optional.of(ints(key)) : Optional.empty();
    }

    /** An array of numbers. */
    public float[] floats(String key) throws MalformedFileException {
        Value value = array(key, "an array of numbers");
        if (!value.kind.number()) {
            throw wrongKind(key, "an array of numbers", value);
        }
        float[] floats = new float[length(key, value)];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = (float) floatingAt(key, value.kind, value.position + (long) i * value.kind.bytes);
        }
        return floats;
    }

    public Optional<float[]> findFloats(String key) throws MalformedFileException {
        return metadata.containsKey(key) ? Optional.of(floats(key)) : Optional.empty();
    }

    private Value scalar(String key, String expected) throws MalformedFileException {
        Value value = present(key, expected);
        if (value.array) {
            throw wrongKind(key, expected, value);
        }
        return value;
    }

    private Value array(String key, String expected) throws MalformedFileException {
        Value value = present(key, expected);
        if (!value.array) {
            throw wrongKind(key, expected, value);
        }
        return value;
    }

    private Value present(String key, String expected) throws MalformedFileException {
        Value value = metadata.get(key);
        if (value == null) {
            throw malformed("metadata '%s' is missing, expected %s".formatted(key, expected));
        }
        return value;
    }

    private int length(String key, Value value) throws MalformedFileException {
        if (value.count > Integer.MAX_VALUE - 8) {
            throw malformed("metadata '%s' has %d elements, too many to read".formatted(key, value.count));
        }
        return (int) value.count;
    }

    private static String stringAt(Cursor cursor, String what) throws MalformedFileException {
        return cursor.utf8(cursor.int64(what), what);
    }

    private long integerAt(String key, Kind kind, long position) throws MalformedFileException {
        return switch (kind) {
            case UINT8 -> bytes.get(ValueLayout.JAVA_BYTE, position) & 0xFF;
            case INT8 -> bytes.get(ValueLayout.JAVA_BYTE, position);
            case UINT16 -> bytes.get(Cursor.SHORT, position) & 0xFFFF;
            case INT16 -> bytes.get(Cursor.SHORT, position);
            case UINT32 -> bytes.get(Cursor.INT, position) & 0xFFFF_FFFFL;
            case INT32 -> bytes.get(Cursor.INT, position);
            case INT64 -> bytes.get(Cursor.LONG, position);
            case UINT64 -> {
                long value = bytes.get(Cursor.LONG, position);
                if (value < 0) {
                    throw malformed("metadata '%s' is %s, which does not fit a signed 64-bit integer".formatted(key, Long.toUnsignedString(value)));
                }
                yield value;
            }
            case FLOAT32, FLOAT64, BOOL, STRING, ARRAY -> throw new AssertionError(kind);
        };
    }

    private double floatingAt(String key, Kind kind, long position) throws MalformedFileException {
        return switch (kind) {
            case FLOAT32 -> bytes.get(Cursor.FLOAT, position);
            case FLOAT64 -> bytes.get(Cursor.DOUBLE, position);
            default -> integerAt(key, kind, position);
        };
    }

    private MalformedFileException wrongKind(String key, String expected, Value found) {
        return malformed("metadata '%s' is %s, expected %s".formatted(key, found.describe(), expected));
    }

    private MalformedFileException malformed(String problem) {
        return new MalformedFileException(file, problem);
    }

    @Override
    public void close() {
        mapping.close();
    }
}
