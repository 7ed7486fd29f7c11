package dev.polyphon.engine;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** Writes random adapters of rank 8 for SmolLM2-135M: {@code WriteAdapters FOLDER COUNT}. */
final class WriteAdapters {
    private WriteAdapters() {}

    public static void main(String[] arguments) throws IOException {
        Map<String, int[]> shapes = Map.of("self_attn.q_proj", new int[] {576, 576}, "self_attn.v_proj", new int[] {192, 576});
        for (int i = 0; i < Integer.parseInt(arguments[1]); i++) {
            RandomAdapter.write(Path.of(arguments[0]).resolve("a%03d".formatted(i)), i, 8, List.copyOf(shapes.keySet()), shapes, 30);
        }
    }
}
