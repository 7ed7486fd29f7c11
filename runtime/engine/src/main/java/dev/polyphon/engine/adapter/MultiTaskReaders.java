package dev.polyphon.engine.adapter;

import dev.polyphon.engine.adapter.AdapterBuilder.Target;
import dev.polyphon.engine.backend.Activation;
import dev.polyphon.engine.model.ArchitectureSpec;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Form.Bottleneck.Place;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.model.Site;
import dev.polyphon.runtime.OperationProgress;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** Adapters that hold many tasks or languages, of which a request names one. */
final class MultiTaskReaders {
    private static final int POLY_TASK = 1;

    private MultiTaskReaders() {}

    /** Poly (Ponti et al. 2023) as PEFT has it; tasks are numbers, and {@value #POLY_TASK} when none is named, as in the reference vectors. */
    static void poly(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "poly_type", "n_tasks", "n_skills", "n_splits");
        options.only("poly_type", "poly");
        int index = Math.min(POLY_TASK, options.integer("n_tasks") - 1);
        if (task != null) {
            try {
                index = Integer.parseInt(task);
            } catch (NumberFormatException e) {
                index = -1;
            }
            if (index < 0 || index >= options.integer("n_tasks")) {
                throw unknown(task, "0 to " + (options.integer("n_tasks") - 1));
            }
        }
        int r = options.integer("r");
        int skills = options.integer("n_skills");
        int splits = options.integer("n_splits");
        for (String path : tensors.modules(".poly_lora_A")) {
            Target target = out.linear(path, path + ".poly_lora_A");
            int in = target.in();
            int to = target.out();
            Matrix logits = tensors.matrix(path + ".poly_router.module_logits", options.integer("n_tasks"), splits * skills);
            double[][] weights = mixing(logits, index, splits, skills);
            float[] a = tensors.values(path + ".poly_lora_A", splits, skills, in / splits, r);
            float[] b = tensors.values(path + ".poly_lora_B", splits, skills, r, to / splits);
            target.lowRank(Matrix.of(r, in, (k, c) -> {
                int split = c / (in / splits);
                double sum = 0;
                for (int s = 0; s < skills; s++) {
                    sum += weights[split][s] * a[((split * skills + s) * (in / splits) + c % (in / splits)) * r + k];
                }
                return sum;
            }), Matrix.of(to, r, (o, k) -> {
                int split = o / (to / splits);
                double sum = 0;
                for (int s = 0; s < skills; s++) {
                    sum += weights[split][s] * b[((split * skills + s) * r + k) * (to / splits) + o % (to / splits)];
                }
                return sum / r;
            }));
        }
    }

    /** Multi-head routing (Caccia et al. 2023), and Poly when it has one split. */
    static void multiHeadRouting(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("r", "lora_alpha", "n_skills", "n_tasks", "n_splits", "task_names");
        int index = index(tasks(options), task);
        int r = options.integer("r");
        int skills = options.integer("n_skills");
        int splits = options.integer("n_splits");
        double scale = options.number("lora_alpha") / r;
        for (String path : tensors.modules(".module_logits")) {
            Target target = out.linear(path, path + ".module_logits");
            int in = target.in();
            int to = target.out();
            double[][] weights = mixing(tensors.matrix(path + ".module_logits", options.integer("n_tasks"), splits * skills), index, splits, skills);
            float[] a = tensors.values(path + ".lora_A", skills, r, in);
            float[] b = tensors.values(path + ".lora_B", skills, to, r);
            target.lowRank(Matrix.of(r, in, (k, c) -> {
                double sum = 0;
                for (int s = 0; s < skills; s++) {
                    sum += weights[c / (in / splits)][s] * a[(s * r + k) * in + c];
                }
                return sum;
            }), Matrix.of(to, r, (o, k) -> {
                double sum = 0;
                for (int s = 0; s < skills; s++) {
                    sum += weights[o / (to / splits)][s] * b[(s * to + o) * r + k];
                }
                return scale * sum;
            }));
        }
    }

    /** Sigmoids of one task's logits, each split's divided by their sum. */
    private static double[][] mixing(Matrix logits, int task, int splits, int skills) {
        double[][] weights = new double[splits][skills];
        for (int h = 0; h < splits; h++) {
            double sum = 1e-12;
            for (int s = 0; s < skills; s++) {
                weights[h][s] = 1 / (1 + Math.exp(-logits.at(task, h * skills + s)));
                sum += weights[h][s];
            }
            for (int s = 0; s < skills; s++) {
                weights[h][s] /= sum;
            }
        }
        return weights;
    }

    /**
     * Hyper-adapters (Baziotis et al. 2022) and Hyperformer (Karimi Mahabadi et al. 2021): a network that generates each layer's bottleneck and its norm
     * from embeddings of the task and the layer. It runs when the adapter is loaded; what is served is the generated adapter.
     */
    static void hypernetwork(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        List<GeneratedBottleneck> layers = generate(options, tensors, task, out.spec(), OperationProgress.NONE);
        Activation f = BottleneckReaders.activation(layers.getFirst().activation());
        for (int layer = 0; layer < layers.size(); layer++) {
            GeneratedBottleneck one = layers.get(layer);
            boolean normed = one.normWeight() != null;
            out.add(new Site(layer, Module.DOWN), new Form.Bottleneck(Place.AFTER, normed ? out.vector(one.normWeight()) : null,
                    normed ? out.vector(one.normBias()) : null, out.weight(one.down()), null, f, out.weight(one.up()), null, 1));
        }
    }

    /** Runs the network for every layer. @param progress hears of each */
    static List<GeneratedBottleneck> generate(AdapterOptions options, AdapterTensors tensors, String task, ArchitectureSpec spec, OperationProgress progress)
            throws IOException {
        options.understand("bottleneck_size", "embedding_size", "hidden_size", "non_linearity", "rescale", "names", "place", "layer_norm");
        options.only("place", "after_mlp_output");
        List<String> names = tasks(options);
        int index = index(names, task);
        int bottleneck = options.integer("bottleneck_size");
        int embedding = options.integer("embedding_size");
        int inner = options.integer("hidden_size");
        int width = spec.hidden();
        int layers = spec.layers().size();
        String activation = options.string("non_linearity", "relu");
        boolean normed = options.bool("layer_norm");
        double downScale = options.bool("rescale") ? 1 / Math.sqrt((double) inner * width) : 1;
        double upScale = options.bool("rescale") ? 1 / Math.sqrt((double) inner * bottleneck) : 1;
        Matrix tasks = tensors.matrix("hyper.task_embedding", names.size(), embedding);
        Matrix places = tensors.matrix("hyper.layer_embedding", layers, embedding);
        Matrix encoder = tensors.matrix("hyper.encoder.weight", inner, 2 * embedding);
        Matrix encoderBias = new Matrix(inner, 1, tensors.vector("hyper.encoder.bias", inner));
        Matrix down = tensors.matrix("hyper.down.weight", bottleneck * width, inner);
        Matrix up = tensors.matrix("hyper.up.weight", width * bottleneck, inner);
        Matrix normWeight = normed ? tensors.matrix("hyper.norm_weight.weight", width, inner) : null;
        Matrix normBias = normed ? tensors.matrix("hyper.norm_bias.weight", width, inner) : null;
        List<GeneratedBottleneck> generated = new ArrayList<>();
        for (int layer = 0; layer < layers; layer++) {
            progress.at(layer, layers);
            int row = layer;
            Matrix input = Matrix.of(2 * embedding, 1, (i, c) -> i < embedding ? tasks.at(index, i) : places.at(row, i - embedding));
            Matrix encoded = encoder.times(input).plus(encoderBias);
            Matrix h = Matrix.of(inner, 1, (i, c) -> Math.max(0, encoded.at(i, 0)));
            Matrix weight = normed ? normWeight.times(h) : null;
            generated.add(new GeneratedBottleneck(new Matrix(bottleneck, width, down.times(h).times(downScale).data()),
                    new Matrix(width, bottleneck, up.times(h).times(upScale).data()),
                    normed ? Matrix.of(1, width, (r, c) -> 1 + weight.at(c, 0)).data() : null, normed ? normBias.times(h).data() : null, activation));
        }
        progress.at(layers, layers);
        return generated;
    }

    /** Whether an adapter's requests may name a task. */
    static boolean hasTasks(AdapterOptions options) {
        return switch (options.kind()) {
            case "MHR", "HYPERNET", "POLY" -> true;
            default -> false;
        };
    }

    /** The tasks of an adapter whose requests must name one; empty for others. */
    static List<String> tasks(AdapterOptions options) throws AdapterFault {
        return switch (options.kind()) {
            case "MHR" -> options.strings("task_names");
            case "HYPERNET" -> options.strings("names");
            default -> List.of();
        };
    }

    private static int index(List<String> names, String task) throws AdapterFault {
        if (task == null) {
            throw new TaskFault("this adapter holds several tasks; the request must name one of " + String.join(", ", names));
        }
        int index = names.indexOf(task);
        if (index < 0) {
            throw unknown(task, String.join(", ", names));
        }
        return index;
    }

    private static TaskFault unknown(String task, String known) {
        return new TaskFault("the adapter has no task " + task + "; it has " + known);
    }
}
