package dev.polyphon.engine;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/** Writes random LoRA adapters, as PEFT would save them; by default for the tiny LLaMA base of the reference vectors. */
public final class RandomAdapter {
    private static final Map<String, int[]> SHAPES = Map.of("self_attn.q_proj", new int[] {64, 64}, "self_attn.k_proj", new int[] {32, 64},
            "self_attn.v_proj", new int[] {32, 64}, "self_attn.o_proj", new int[] {64, 64}, "mlp.gate_proj", new int[] {160, 64},
            "mlp.up_proj", new int[] {160, 64}, "mlp.down_proj", new int[] {64, 160});

    private RandomAdapter() {}

    /** @param modules for example {@code self_attn.q_proj} */
    public static Path write(Path folder, long seed, int rank, List<String> modules) throws IOException {
        return write(folder, seed, rank, modules, SHAPES, 2);
    }

    /** The same for another base. @param shapes rows and columns of each module */
    static Path write(Path folder, long seed, int rank, List<String> modules, Map<String, int[]> shapes, int layers) throws IOException {
        Files.createDirectories(folder);
        ObjectMapper json = new ObjectMapper();
        Files.writeString(folder.resolve("adapter_config.json"),
                json.writeValueAsString(Map.of("peft_type", "LORA", "r", rank, "lora_alpha", 2 * rank, "bias", "none")));
        Random random = new Random(seed);
        Map<String, Object> header = new LinkedHashMap<>();
        Map<String, float[]> tensors = new LinkedHashMap<>();
        long offset = 0;
        for (int layer = 0; layer < layers; layer++) {
            for (String module : modules) {
                int[] shape = shapes.get(module);
                String path = "base_model.model.model.layers." + layer + "." + module;
                offset = add(header, tensors, path + ".lora_A.weight", rank, shape[1], offset, random);
                offset = add(header, tensors, path + ".lora_B.weight", shape[0], rank, offset, random);
            }
        }
        byte[] head = json.writeValueAsBytes(header);
        try (OutputStream out = Files.newOutputStream(folder.resolve("adapter_model.safetensors"))) {
            out.write(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(head.length).array());
            out.write(new String(head, StandardCharsets.UTF_8).getBytes(StandardCharsets.UTF_8));
            for (float[] values : tensors.values()) {
                ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
                bytes.asFloatBuffer().put(values);
                out.write(bytes.array());
            }
        }
        return folder;
    }

    private static long add(Map<String, Object> header, Map<String, float[]> tensors, String name, int rows, int columns, long offset,
            Random random) {
        float[] values = new float[rows * columns];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (random.nextGaussian() * 0.6 / Math.sqrt(columns));
        }
        long end = offset + 4L * values.length;
        header.put(name, Map.of("dtype", "F32", "shape", List.of(rows, columns), "data_offsets", List.of(offset, end)));
        tensors.put(name, values);
        return end;
    }

    public static List<String> allModules() {
        return List.copyOf(SHAPES.keySet().stream().sorted().toList());
    }
}
