package dev.polyphon.server.cli.adapter;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.Matrix;
import dev.polyphon.engine.adapter.ops.SavedAdapter;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.TensorView;
import java.io.IOException;
import java.nio.file.Path;
import java.util.stream.IntStream;

/** A LoRA adapter with its neurons in the opposite order, which makes the same changes. */
final class Mirrored {
    private Mirrored() {}

    static Path adapter(Path lora, Path to) throws IOException {
        SavedAdapter saved = SavedAdapter.read(AdapterFolder.open(lora));
        SavedAdapter mirrored = new SavedAdapter(saved.config());
        for (TensorView tensor : saved.tensors().values()) {
            Matrix matrix = new Matrix(tensor.dim(0), tensor.dim(1), Floats.all(tensor));
            boolean down = tensor.name().contains(".lora_A.");
            int rank = down ? matrix.rows() : matrix.columns();
            int[] order = IntStream.range(0, rank).map(i -> rank - 1 - i).toArray();
            mirrored.put(tensor.name(), down ? matrix.rows(order) : matrix.transposed().rows(order).transposed());
        }
        mirrored.save(to);
        return to;
    }

    static void assertSame(Path adapter, Path expected) throws IOException {
        SavedAdapter found = SavedAdapter.read(AdapterFolder.open(adapter));
        SavedAdapter wanted = SavedAdapter.read(AdapterFolder.open(expected));
        assertThat(found.tensors().keySet()).isEqualTo(wanted.tensors().keySet());
        wanted.tensors().forEach((name, tensor) -> assertThat(Floats.all(found.tensors().get(name))).as(name).isEqualTo(Floats.all(tensor)));
    }
}
