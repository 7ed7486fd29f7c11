package dev.polyphon.engine.adapter.ops;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.Matrix;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.SafeTensorsWriter;
import dev.polyphon.engine.weights.TensorFile;
import dev.polyphon.engine.weights.TensorView;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Stream;

/** An adapter's configuration and tensors on the heap, as they are about to be saved. */
public final class SavedAdapter {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final ObjectNode config;
    private final Map<String, TensorView> tensors = new LinkedHashMap<>();

    public SavedAdapter(ObjectNode config) {
        this.config = config;
    }

    /** What a folder holds. */
    public static SavedAdapter read(AdapterFolder folder) throws IOException {
        SavedAdapter saved = new SavedAdapter(folder.config().deepCopy());
        try (TensorFile file = folder.openTensors()) {
            for (TensorView tensor : file.tensors()) {
                MemorySegment copy = MemorySegment.ofArray(tensor.data().toArray(java.lang.foreign.ValueLayout.JAVA_BYTE));
                saved.put(new TensorView(tensor.name(), tensor.dtype(), tensor.shape(), copy));
            }
        }
        return saved;
    }

    public ObjectNode config() {
        return config;
    }

    public Map<String, TensorView> tensors() {
        return tensors;
    }

    public void put(TensorView tensor) {
        tensors.put(tensor.name(), tensor);
    }

    public void put(String name, Matrix matrix) {
        put(name, new long[] {matrix.rows(), matrix.columns()}, matrix.data());
    }

    public void put(String name, long[] shape, float... values) {
        java.nio.ByteBuffer data = java.nio.ByteBuffer.allocate(4 * values.length).order(java.nio.ByteOrder.LITTLE_ENDIAN);
        data.asFloatBuffer().put(values);
        put(new TensorView(name, DType.F32, shape, MemorySegment.ofBuffer(data)));
    }

    public void put(String name, DType type, long[] shape, byte[] values) {
        put(new TensorView(name, type, shape, MemorySegment.ofArray(values)));
    }

    /** {@code peft_type}, or that of AdapterHub's folders. */
    public String kind() {
        return AdapterFolder.kind(config);
    }

    /** Writes {@code adapter_config.json} and the tensors, by the name that folders of its kind have for them: the folder appears when it is complete. */
    public void save(Path folder) throws IOException {
        String tensorFile = AdapterFolder.tensorFiles(kind()).getFirst();
        whole(folder, unfinished -> {
            Files.write(unfinished.resolve("adapter_config.json"), JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(config));
            SafeTensorsWriter writer = new SafeTensorsWriter().metadata("format", "pt");
            tensors.values().forEach(writer::add);
            writer.write(unfinished.resolve(tensorFile));
        });
    }

    /** Fills a folder. */
    @FunctionalInterface
    interface Filling {
        void fill(Path folder) throws IOException;
    }

    /** Makes a folder whole or not at all. @throws IOException also when it exists */
    static void whole(Path folder, Filling filling) throws IOException {
        if (Files.exists(folder)) {
            throw new FileAlreadyExistsException(folder.toString(), null, "exists already");
        }
        Path target = folder.toAbsolutePath();
        Files.createDirectories(target.getParent());
        Path unfinished = Files.createDirectory(target.resolveSibling("." + target.getFileName() + "." + UUID.randomUUID() + ".tmp"));
        try {
            filling.fill(unfinished);
            Files.move(unfinished, target, StandardCopyOption.ATOMIC_MOVE);
        } finally {
            if (Files.exists(unfinished)) {
                try (Stream<Path> left = Files.list(unfinished)) {
                    for (Path file : left.toList()) {
                        Files.delete(file);
                    }
                }
                Files.delete(unfinished);
            }
        }
    }
}
