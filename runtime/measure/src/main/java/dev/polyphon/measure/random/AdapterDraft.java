package dev.polyphon.measure.random;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.model.ArchitectureSpec;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.SafeTensorsWriter;
import dev.polyphon.engine.weights.TensorView;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.TreeSet;

/** An adapter of random tensors for a base, to be saved as PEFT would. */
final class AdapterDraft implements AutoCloseable {
    private static final String PREFIX = "base_model.model.";
    private static final ObjectMapper JSON = new ObjectMapper();

    /** What a family stores for a linear layer [out, in]. */
    interface ForModule {
        void add(String path, int out, int in);
    }

    final ObjectNode config;
    private final Checkpoint base;
    private final DType type;
    private final SplittableRandom seeds;
    private final Arena arena = Arena.ofConfined();
    private final SafeTensorsWriter file = new SafeTensorsWriter();

    /** @param type of matrices; vectors are f32 */
    AdapterDraft(Checkpoint base, String config, DType type, long seed) throws IOException {
        this.base = base;
        this.config = (ObjectNode) JSON.readTree(config);
        this.type = type;
        this.seeds = new SplittableRandom(seed);
    }

    ArchitectureSpec spec() {
        return base.spec();
    }

    /** A random tensor; values have a deviation of about {@code spread} divided by the root of the last dimension. */
    void random(String name, double spread, long... shape) {
        file.add(RandomTensor.of(arena, name, shape.length == 1 ? DType.F32 : type, spread, seeds.nextLong(), shape));
    }

    /** An f32 tensor, all of one value. */
    void constant(String name, float value, long... shape) {
        long elements = 1;
        for (long dimension : shape) {
            elements *= dimension;
        }
        float[] values = new float[Math.toIntExact(elements)];
        Arrays.fill(values, value);
        file.add(name, shape, values);
    }

    /** An i32 tensor. */
    void integers(String name, int[] values, long... shape) {
        ByteBuffer data = ByteBuffer.allocate(Integer.BYTES * values.length).order(ByteOrder.LITTLE_ENDIAN);
        data.asIntBuffer().put(values);
        file.add(new TensorView(name, DType.I32, shape, MemorySegment.ofBuffer(data)));
    }

    /** Adds tensors for a module of every layer, and names the modules as targets. */
    void modules(List<Module> modules, ForModule recipe) {
        TreeSet<String> targets = new TreeSet<>();
        for (Module module : modules) {
            for (int layer = 0; layer < spec().layers().size(); layer++) {
                String path = path(module, layer);
                targets.add(path.substring(path.lastIndexOf('.') + 1));
                recipe.add(path, spec().out(module), spec().in(module));
            }
        }
        ArrayNode names = config.putArray("target_modules");
        targets.forEach(names::add);
    }

    /** A module's path with PEFT's prefix. */
    String path(Module module, int layer) {
        return PREFIX + base.layout().place(module).orElseThrow(() -> new IllegalArgumentException("this base has no " + module)).path(layer);
    }

    void save(Path folder) throws IOException {
        Files.createDirectories(folder);
        Files.writeString(folder.resolve("adapter_config.json"), JSON.writerWithDefaultPrettyPrinter().writeValueAsString(config));
        file.write(folder.resolve("adapter_model.safetensors"));
    }

    @Override
    public void close() {
        arena.close();
    }
}
