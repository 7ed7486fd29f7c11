package dev.polyphon.engine.weights;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads the pickles in which torch saves tensors, and no others (opcodes: Python's {@code Lib/pickletools.py}; tensors: {@code torch/_utils.py}).
 * A pickle is a program that may call any function by name. This reader has the few functions that make a state dict built in: any other name,
 * and any opcode that a state dict does not need, is refused, so no pickle can run code.
 *
 * <p>Values are {@link String}, {@link Long}, {@link Boolean}, {@link #NONE}, {@link Tuple}, {@link Map} (a dict), {@link Storage}, {@link Tensor}
 * and {@link Function}. Dicts may contain themselves: never walk, print or hash values without looking at what they are.
 */
final class Unpickler {

    static final Object NONE = new Object();

    private static final Object MARK = new Object();
    private static final int LONGEST_GLOBAL = 200;

    record Tuple(List<Object> items) {}

    /** The bytes of one or more tensors: the zip entry {@code data/key}. */
    record Storage(DType dtype, String key, long elements) {}

    /** A view of a storage, offset and strides in elements. Two pickled tensors are the same only if they are the same object. */
    static final class Tensor {
        final Storage storage;
        final long offset;
        final long[] shape;
        final long[] strides;

        Tensor(Storage storage, long offset, long[] shape, long[] strides) {
            this.storage = storage;
            this.offset = offset;
            this.shape = shape;
            this.strides = strides;
        }
    }

    private sealed interface Function {}

    private enum Builtin implements Function { ORDERED_DICT, TENSOR, PARAMETER, PARAMETER_WITH_STATE }

    private record StorageType(DType dtype) implements Function {}

    private static final Map<String, Function> GLOBALS = Map.ofEntries(
            Map.entry("collections OrderedDict", Builtin.ORDERED_DICT),
            Map.entry("torch._utils _rebuild_tensor_v2", Builtin.TENSOR),
            Map.entry("torch._utils _rebuild_parameter", Builtin.PARAMETER),
            Map.entry("torch._utils _rebuild_parameter_with_state", Builtin.PARAMETER_WITH_STATE),
            Map.entry("torch DoubleStorage", new StorageType(DType.F64)),
            Map.entry("torch FloatStorage", new StorageType(DType.F32)),
            Map.entry("torch HalfStorage", new StorageType(DType.F16)),
            Map.entry("torch BFloat16Storage", new StorageType(DType.BF16)),
            Map.entry("torch LongStorage", new StorageType(DType.I64)),
            Map.entry("torch IntStorage", new StorageType(DType.I32)),
            Map.entry("torch ShortStorage", new StorageType(DType.I16)),
            Map.entry("torch CharStorage", new StorageType(DType.I8)),
            Map.entry("torch ByteStorage", new StorageType(DType.U8)),
            Map.entry("torch BoolStorage", new StorageType(DType.BOOL)));

    private final Cursor cursor;
    private final List<Object> stack = new ArrayList<>();
    private final Map<Long, Object> memo = new HashMap<>();

    private Unpickler(Path file, MemorySegment pickle) {
        this.cursor = new Cursor(file, pickle, 0);
    }

    /** The value that a pickle describes. */
    static Object read(Path file, MemorySegment pickle) throws MalformedFileException {
        if (pickle.byteSize() > Limits.PICKLE_BYTES) {
            throw new MalformedFileException(file, "a pickle of %d bytes, at most %d are allowed".formatted(pickle.byteSize(), Limits.PICKLE_BYTES));
        }
        return new Unpickler(file, pickle).run();
    }

    private Object run() throws MalformedFileException {
        for (int executed = 0; executed < Limits.PICKLE_OPCODES; executed++) {
            int opcode = cursor.uint8("the pickle");
            switch (opcode) {
                case 0x80 -> readProtocol();
                case 0x95 -> cursor.int64("a pickle frame");
                case '(' -> stack.add(MARK);
                case 'N' -> stack.add(NONE);
                case 0x88 -> stack.add(true);
                case 0x89 -> stack.add(false);
                case 'K' -> stack.add((long) cursor.uint8("a pickled integer"));
                case 'M' -> stack.add((long) cursor.uint16("a pickled integer"));
                case 'J' -> stack.add((long) cursor.int32("a pickled integer"));
                case 0x8a -> stack.add(readLong());
                case 'X' -> stack.add(cursor.utf8(cursor.uint32("a pickled string"), "a pickled string"));
                case 0x8c -> stack.add(cursor.utf8(cursor.uint8("a pickled string"), "a pickled string"));
                case '}' -> stack.add(new LinkedHashMap<>(0));
                case 's' -> {
                    Object value = pop();
                    put(pop(), value);
                }
                case 'u' -> setItems(popMarked());
                case ')' -> stack.add(new Tuple(List.of()));
                case 't' -> stack.add(new Tuple(popMarked()));
                case 0x85 -> stack.add(new Tuple(List.of(pop())));
                case 0x86 -> {
                    Object second = pop();
                    stack.add(new Tuple(List.of(pop(), second)));
                }
                case 0x87 -> {
                    Object third = pop();
                    Object second = pop();
                    stack.add(new Tuple(List.of(pop(), second, third)));
                }
                case 'q' -> memo.put((long) cursor.uint8("a memo index"), top());
                case 'r' -> memo.put(cursor.uint32("a memo index"), top());
                case 0x94 -> memo.put((long) memo.size(), top());
                case 'h' -> stack.add(remembered(cursor.uint8("a memo index")));
                case 'j' -> stack.add(remembered(cursor.uint32("a memo index")));
                case 'c' -> {
                    String module = readLine();
                    stack.add(function(module, readLine()));
                }
                case 0x93 -> {
                    String name = pop(String.class, "a name");
                    stack.add(function(pop(String.class, "a module"), name));
                }
                case 'Q' -> stack.add(storage(pop(Tuple.class, "a storage's description").items));
                case 'R' -> {
                    List<Object> arguments = pop(Tuple.class, "arguments").items;
                    stack.add(call(pop(Function.class, "a function"), arguments));
                }
                case 'b' -> {
                    // The attributes of a state dict: which module versions it came from. Nothing that a tensor needs.
                    pop(Map.class, "an object's attributes");
                    topDict();
                }
                case '.' -> {
                    return pop();
                }
                default -> throw malformed("opcode 0x%02X, which no state dict needs".formatted(opcode));
            }
        }
        throw malformed("more than %d opcodes".formatted(Limits.PICKLE_OPCODES));
    }

    private void readProtocol() throws MalformedFileException {
        int protocol = cursor.uint8("the pickle's protocol");
        if (protocol < 2 || protocol > 5) {
            throw malformed("protocol " + protocol + ", expected 2 to 5");
        }
    }

    /** A two's complement integer of up to eight bytes. */
    private long readLong() throws MalformedFileException {
        int length = cursor.uint8("a pickled integer");
        if (length > 8) {
            throw malformed("an integer of %d bytes, at most 8 are allowed".formatted(length));
        }
        long value = 0;
        for (int i = 0; i < length; i++) {
            value |= (long) cursor.uint8("a pickled integer") << 8 * i;
        }
        int unused = 64 - 8 * length;
        return length == 0 ? 0 : value << unused >> unused;
    }

    private String readLine() throws MalformedFileException {
        StringBuilder line = new StringBuilder();
        for (int c = cursor.uint8("a global's name"); c != '\n'; c = cursor.uint8("a global's name")) {
            if (line.length() == LONGEST_GLOBAL) {
                throw malformed("a global's name longer than " + LONGEST_GLOBAL);
            }
            line.append((char) c);
        }
        return line.toString();
    }

    private Function function(String module, String name) throws MalformedFileException {
        Function function = GLOBALS.get(module + " " + name);
        if (function == null) {
            throw malformed("a reference to %s.%s; only tensors, their storages and dicts are read, nothing else is called".formatted(module, name));
        }
        return function;
    }

    private Object call(Function function, List<Object> arguments) throws MalformedFileException {
        return switch (function) {
            case Builtin.ORDERED_DICT -> {
                if (!arguments.isEmpty()) {
                    throw malformed("an OrderedDict made from %d arguments, expected none".formatted(arguments.size()));
                }
                yield new LinkedHashMap<>(0);
            }
            case Builtin.TENSOR -> new Tensor(
                    argument(arguments, 0, Storage.class, "a tensor's storage"),
                    argument(arguments, 1, Long.class, "a tensor's offset"),
                    longs(argument(arguments, 2, Tuple.class, "a tensor's shape"), "a tensor's shape"),
                    longs(argument(arguments, 3, Tuple.class, "a tensor's strides"), "a tensor's strides"));
            case Builtin.PARAMETER, Builtin.PARAMETER_WITH_STATE -> argument(arguments, 0, Tensor.class, "a parameter's tensor");
            case StorageType _ -> throw malformed("a call of a storage type");
        };
    }

    /** {@code ('storage', type, key, device, elements)}; the device is where it was, it is read to the host. */
    private Storage storage(List<Object> description) throws MalformedFileException {
        if (!"storage".equals(argument(description, 0, String.class, "a persistent object's kind"))) {
            throw malformed("a persistent object that is not a storage");
        }
        StorageType type = argument(description, 1, StorageType.class, "a storage's type");
        String key = argument(description, 2, String.class, "a storage's key");
        return new Storage(type.dtype, key, argument(description, 4, Long.class, "a storage's size"));
    }

    private long[] longs(Tuple tuple, String what) throws MalformedFileException {
        long[] values = new long[tuple.items.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = argument(tuple.items, i, Long.class, what);
        }
        return values;
    }

    private <T> T argument(List<Object> arguments, int index, Class<T> type, String what) throws MalformedFileException {
        if (index >= arguments.size()) {
            throw malformed("%s is missing".formatted(what));
        }
        return cast(arguments.get(index), type, what);
    }

    private void setItems(List<Object> items) throws MalformedFileException {
        if (items.size() % 2 != 0) {
            throw malformed("a key without a value");
        }
        for (int i = 0; i < items.size(); i += 2) {
            put(items.get(i), items.get(i + 1));
        }
    }

    private void put(Object key, Object value) throws MalformedFileException {
        if (!(key instanceof String || key instanceof Long)) {
            throw malformed("a dict key that is %s, expected a string or an integer".formatted(describe(key)));
        }
        if (topDict().put(key, value) != null) {
            throw malformed("the dict key '%s' twice".formatted(key));
        }
    }

    @SuppressWarnings("unchecked")
    private Map<Object, Object> topDict() throws MalformedFileException {
        return cast(top(), Map.class, "an item's container");
    }

    private Object top() throws MalformedFileException {
        if (stack.isEmpty() || stack.getLast() == MARK) {
            throw malformed("an empty stack");
        }
        return stack.getLast();
    }

    private Object pop() throws MalformedFileException {
        Object top = top();
        stack.removeLast();
        return top;
    }

    private <T> T pop(Class<T> type, String what) throws MalformedFileException {
        return cast(pop(), type, what);
    }

    /** Everything above the last mark, which goes too. */
    private List<Object> popMarked() throws MalformedFileException {
        int mark = stack.size() - 1;
        while (mark >= 0 && stack.get(mark) != MARK) {
            mark--;
        }
        if (mark < 0) {
            throw malformed("items without a mark");
        }
        List<Object> above = stack.subList(mark + 1, stack.size());
        List<Object> items = List.copyOf(above);
        above.clear();
        stack.removeLast();
        return items;
    }

    private Object remembered(long index) throws MalformedFileException {
        Object value = memo.get(index);
        if (value == null) {
            throw malformed("memo entry %d, which is not set".formatted(index));
        }
        return value;
    }

    private <T> T cast(Object value, Class<T> type, String what) throws MalformedFileException {
        if (!type.isInstance(value)) {
            throw malformed("%s that is %s".formatted(what, describe(value)));
        }
        return type.cast(value);
    }

    /** A value's kind, for messages. */
    static String describe(Object value) {
        return switch (value) {
            case String _ -> "a string";
            case Long _ -> "an integer";
            case Boolean _ -> "a bool";
            case Tuple _ -> "a tuple";
            case Map<?, ?> _ -> "a dict";
            case Storage _ -> "a storage";
            case Tensor _ -> "a tensor";
            case Function _ -> "a function";
            default -> "None";
        };
    }

    private MalformedFileException malformed(String found) {
        return cursor.malformed("the pickle has, before byte %d, %s".formatted(cursor.position(), found));
    }
}
