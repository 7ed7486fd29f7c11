package dev.polyphon.engine.weights;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * A state dict as {@code torch.save} writes it since torch 1.6: a zip file with the pickle {@code data.pkl} and the storages in {@code data/}, which
 * older releases of PEFT use for adapters ({@code adapter_model.bin}). Nothing in the pickle is executed: see {@link Unpickler} for what is known.
 *
 * <p>Contiguous tensors are views of the mapped file. Others are copied out, all together at most as many bytes as the file has.
 */
public final class TorchFile implements TensorFile {

    private static final List<String> NAMES = List.of("adapter_model.bin", "pytorch_model.bin");

    /** How files of older torch versions start: a pickle of a magic number. */
    private static final byte[] BEFORE_ZIP = {(byte) 0x80, 2, (byte) 0x8a, 10, 0x6c, (byte) 0xfc, (byte) 0x9c, 0x46, (byte) 0xf9, 0x20};

    private final Path file;
    private final Mapping mapping;
    private final Map<String, MemorySegment> entries;
    private final String prefix;
    private final Map<String, TensorView> tensors = new LinkedHashMap<>();
    private long copyable;

    /**
     * Maps a file, or {@code adapter_model.bin} or {@code pytorch_model.bin} in a folder.
     *
     * @throws MalformedFileException if it is not a state dict, or has anything but tensors in it
     * @throws NoSuchFileException if there is no such file
     * @throws IOException if it cannot be read
     */
    public static TorchFile open(Path path) throws IOException {
        Path file = Files.isDirectory(path) ? inFolder(path) : path;
        Mapping mapping = new Mapping();
        try {
            return new TorchFile(file, mapping, mapping.map(file));
        } catch (Throwable t) {
            mapping.close();
            throw t;
        }
    }

    /**
     * Reads what stands in memory, which has to stay while this is used.
     *
     * @param file names it in messages
     */
    public static TorchFile of(Path file, MemorySegment bytes) throws IOException {
        Mapping mapping = new Mapping();
        try {
            return new TorchFile(file, mapping, bytes);
        } catch (Throwable t) {
            mapping.close();
            throw t;
        }
    }

    private static Path inFolder(Path folder) throws NoSuchFileException {
        for (String name : NAMES) {
            if (Files.isRegularFile(folder.resolve(name))) {
                return folder.resolve(name);
            }
        }
        throw new NoSuchFileException(folder.toString(), null, "the folder has none of " + String.join(", ", NAMES));
    }

    private TorchFile(Path file, Mapping mapping, MemorySegment bytes) throws IOException {
        this.file = file;
        this.mapping = mapping;
        if (bytes.byteSize() >= BEFORE_ZIP.length && bytes.asSlice(0, BEFORE_ZIP.length).mismatch(MemorySegment.ofArray(BEFORE_ZIP)) < 0) {
            throw malformed("the format that torch had before 1.6, which is not supported; load and save it with a newer torch");
        }
        this.copyable = bytes.byteSize();
        this.entries = StoredZip.entries(file, bytes);
        this.prefix = prefix();
        checkByteOrder();
        readTensors(Unpickler.read(file, entries.get(prefix + "data.pkl")));
    }

    /** All entries stand in one folder, whose name is up to the writer. */
    private String prefix() throws MalformedFileException {
        List<String> pickles = entries.keySet().stream().filter(name -> name.endsWith("/data.pkl") && name.indexOf('/') == name.lastIndexOf('/')).toList();
        if (pickles.size() != 1) {
            throw malformed("not a file of torch: the zip has %d entries like 'archive/data.pkl', expected one".formatted(pickles.size()));
        }
        return pickles.getFirst().substring(0, pickles.getFirst().indexOf('/') + 1);
    }

    private void checkByteOrder() throws MalformedFileException {
        MemorySegment order = entries.get(prefix + "byteorder");
        if (order != null && order.mismatch(MemorySegment.ofArray("little".getBytes(StandardCharsets.US_ASCII))) >= 0) {
            throw malformed("the entry 'byteorder' does not say 'little', the only byte order supported");
        }
    }

    private void readTensors(Object root) throws MalformedFileException {
        if (!(root instanceof Map<?, ?> dict)) {
            throw malformed("not a state dict: the pickle is " + Unpickler.describe(root));
        }
        Map<Unpickler.Tensor, MemorySegment> placed = new IdentityHashMap<>();
        for (Map.Entry<?, ?> entry : dict.entrySet()) {
            if (!(entry.getKey() instanceof String name)) {
                throw malformed("not a state dict: the key %s is not a string".formatted(entry.getKey()));
            }
            if (!(entry.getValue() instanceof Unpickler.Tensor tensor)) {
                throw malformed("not a state dict: '%s' is %s, expected a tensor".formatted(name, Unpickler.describe(entry.getValue())));
            }
            MemorySegment data = placed.get(tensor);
            if (data == null) {
                data = place(name, tensor);
                placed.put(tensor, data);
            }
            tensors.put(name, new TensorView(name, tensor.storage.dtype(), tensor.shape, data));
        }
    }

    private MemorySegment place(String name, Unpickler.Tensor tensor) throws MalformedFileException {
        Unpickler.Storage storage = tensor.storage;
        DType dtype = storage.dtype();
        MemorySegment bytes = entries.get(prefix + "data/" + storage.key());
        if (bytes == null) {
            throw malformed("tensor '%s': the zip has no entry 'data/%s'".formatted(name, storage.key()));
        }
        int size = dtype.blockBytes();
        if (bytes.byteSize() % size != 0 || bytes.byteSize() / size != storage.elements()) {
            throw malformed("tensor '%s': storage '%s' should have %d elements of %s, but the entry has %d bytes"
                    .formatted(name, storage.key(), storage.elements(), dtype, bytes.byteSize()));
        }
        long needed = Extent.bytes(file, name, dtype, tensor.shape);
        checkReach(name, tensor);
        if (needed == 0) {
            return bytes.asSlice(0, 0);
        }
        if (contiguous(tensor)) {
            return bytes.asSlice(tensor.offset * size, needed);
        }
        if (needed > copyable) {
            throw malformed("tensor '%s' %s%s with strides %s repeats its elements, or too many tensors are not contiguous: %d bytes to copy, "
                    .formatted(name, dtype, Arrays.toString(tensor.shape), Arrays.toString(tensor.strides), needed) + copyable + " left of the file's size");
        }
        copyable -= needed;
        return copy(bytes, tensor, needed);
    }

    /** Checks that the first and the last element lie in the storage. */
    private void checkReach(String name, Unpickler.Tensor tensor) throws MalformedFileException {
        boolean valid = tensor.offset >= 0 && tensor.offset <= tensor.storage.elements() && tensor.strides.length == tensor.shape.length;
        if (valid && !empty(tensor)) {
            try {
                long last = tensor.offset;
                for (int i = 0; i < tensor.shape.length; i++) {
                    valid &= tensor.strides[i] >= 0;
                    last = Math.addExact(last, Math.multiplyExact(tensor.shape[i] - 1, tensor.strides[i]));
                }
                valid &= last < tensor.storage.elements();
            } catch (ArithmeticException e) {
                valid = false;
            }
        }
        if (!valid) {
            throw malformed("tensor '%s' with shape %s, strides %s and offset %d reaches outside its storage of %d elements".formatted(name,
                    Arrays.toString(tensor.shape), Arrays.toString(tensor.strides), tensor.offset, tensor.storage.elements()));
        }
    }

    private static boolean empty(Unpickler.Tensor tensor) {
        return Arrays.stream(tensor.shape).anyMatch(d -> d == 0);
    }

    private static boolean contiguous(Unpickler.Tensor tensor) {
        long expected = 1;
        for (int i = tensor.shape.length - 1; i >= 0; i--) {
            if (tensor.shape[i] != 1 && tensor.strides[i] != expected) {
                return false;
            }
            expected *= tensor.shape[i];
        }
        return true;
    }

    /** Gathers the elements of a tensor in row-major order. */
    private MemorySegment copy(MemorySegment from, Unpickler.Tensor tensor, long bytes) {
        int size = tensor.storage.dtype().blockBytes();
        int[] axes = IntStream.range(0, tensor.shape.length).filter(i -> tensor.shape[i] > 1).toArray();
        long[] index = new long[axes.length];
        MemorySegment target = mapping.allocate(bytes);
        long element = tensor.offset;
        for (long at = 0; at < bytes; at += size) {
            MemorySegment.copy(from, ValueLayout.JAVA_BYTE, element * size, target, ValueLayout.JAVA_BYTE, at, size);
            for (int i = axes.length - 1; i >= 0; i--) {
                long length = tensor.shape[axes[i]];
                long stride = tensor.strides[axes[i]];
                element += stride;
                if (++index[i] < length) {
                    break;
                }
                index[i] = 0;
                element -= length * stride;
            }
        }
        return target;
    }

    @Override
    public Collection<TensorView> tensors() {
        return Collections.unmodifiableCollection(tensors.values());
    }

    @Override
    public Optional<TensorView> find(String name) {
        return Optional.ofNullable(tensors.get(name));
    }

    private MalformedFileException malformed(String problem) {
        return new MalformedFileException(file, problem);
    }

    @Override
    public void close() {
        mapping.close();
    }
}
