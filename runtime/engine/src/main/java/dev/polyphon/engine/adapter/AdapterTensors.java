package dev.polyphon.engine.adapter;

import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.TensorFile;
import dev.polyphon.engine.weights.TensorView;
import dev.polyphon.runtime.OperationProgress;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * An adapter's tensors by name, without the wrapping modules' prefix. Readers take what they understand; what is left over at the end is an adapter
 * that is not understood.
 */
final class AdapterTensors {
    private static final String[] PREFIXES = {"base_model.model.", "base_model."};

    private final Map<String, TensorView> tensors = new TreeMap<>();
    private final Set<String> left = new TreeSet<>();
    private final OperationProgress progress;

    AdapterTensors(TensorFile file) throws AdapterFault {
        this(file, OperationProgress.NONE);
    }

    /** @param progress hears of each tensor that is taken */
    AdapterTensors(TensorFile file, OperationProgress progress) throws AdapterFault {
        this.progress = progress;
        for (TensorView tensor : file.tensors()) {
            String name = withoutPrefix(tensor.name());
            if (tensors.put(name, tensor) != null) {
                throw new AdapterFault("two tensors are named " + name);
            }
        }
        if (tensors.isEmpty()) {
            throw new AdapterFault("the adapter has no tensors");
        }
        left.addAll(tensors.keySet());
    }

    /** A tensor's or module's name without what PEFT's wrapping modules put before it. */
    static String withoutPrefix(String name) {
        for (String prefix : PREFIXES) {
            if (name.startsWith(prefix)) {
                return name.substring(prefix.length());
            }
        }
        return name;
    }

    /** The module paths that have a tensor with one of these endings, for example {@code .lora_A.weight}. */
    Set<String> modules(String... endings) {
        Set<String> paths = new LinkedHashSet<>();
        for (String name : tensors.keySet()) {
            for (String ending : endings) {
                if (name.endsWith(ending)) {
                    paths.add(name.substring(0, name.length() - ending.length()));
                }
            }
        }
        return paths;
    }

    /** All names. */
    Set<String> names() {
        return tensors.keySet();
    }

    /** Names that nobody has taken yet and that end so. */
    List<String> left(String ending) {
        return left.stream().filter(name -> name.endsWith(ending)).toList();
    }

    Optional<TensorView> find(String name) {
        TensorView tensor = tensors.get(name);
        if (tensor != null && left.remove(name)) {
            progress.at(tensors.size() - left.size(), tensors.size());
        }
        return Optional.ofNullable(tensor);
    }

    TensorView take(String name) throws AdapterFault {
        return find(name).orElseThrow(() -> new AdapterFault("tensor " + name + " is missing"));
    }

    /** A tensor of one or two dimensions as a matrix; a vector is one row. */
    Matrix matrix(String name) throws AdapterFault {
        TensorView view = take(name);
        if (view.rank() < 1 || view.rank() > 2) {
            throw new AdapterFault("tensor " + name + " is " + view.describe() + ", expected a matrix");
        }
        return new Matrix(view.rank() == 1 ? 1 : view.dim(0), view.dim(view.rank() - 1), finite(name, view));
    }

    Matrix matrix(String name, int rows, int columns) throws AdapterFault {
        Matrix matrix = matrix(name);
        if (matrix.rows() != rows || matrix.columns() != columns) {
            throw new AdapterFault("tensor " + name + " is " + tensors.get(name).describe() + ", this base needs [" + rows + ", " + columns + "]");
        }
        return matrix;
    }

    /** All elements of a tensor of this many elements, whatever its dimensions. */
    float[] vector(String name, int elements) throws AdapterFault {
        TensorView view = take(name);
        if (view.elements() != elements) {
            throw new AdapterFault("tensor " + name + " is " + view.describe() + ", this base needs " + elements + " elements");
        }
        return finite(name, view);
    }

    /** All elements of a tensor of this shape; -1 stands for any size. */
    float[] values(String name, int... shape) throws AdapterFault {
        TensorView view = take(name);
        boolean fits = view.rank() == shape.length;
        for (int i = 0; fits && i < shape.length; i++) {
            fits = shape[i] < 0 || view.dim(i) == shape[i];
        }
        if (!fits) {
            throw new AdapterFault("tensor " + name + " is " + view.describe() + ", expected " + Arrays.toString(shape).replace("-1", "any"));
        }
        return finite(name, view);
    }

    static float[] finite(String name, TensorView view) throws AdapterFault {
        float[] values = Floats.all(view);
        for (float value : values) {
            if (!Float.isFinite(value)) {
                throw new AdapterFault("tensor " + name + " holds " + value);
            }
        }
        return values;
    }

    /** @throws AdapterFault when a tensor was not taken */
    void finish() throws AdapterFault {
        if (!left.isEmpty()) {
            throw new AdapterFault("tensor " + left.iterator().next() + " is not understood" + (left.size() > 1 ? ", and " + (left.size() - 1) + " more" : ""));
        }
    }
}
