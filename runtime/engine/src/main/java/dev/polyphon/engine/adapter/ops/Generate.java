package dev.polyphon.engine.adapter.ops;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.GeneratedBottleneck;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Module;
import dev.polyphon.runtime.OperationProgress;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/** Writes what a hypernetwork generates for a task as an adapter of its own: bottlenecks in AdapterHub's format, which any server of it can load. */
public final class Generate {
    private Generate() {}

    /**
     * Writes a folder, whole or not at all.
     *
     * @return how many layers have a bottleneck
     * @throws dev.polyphon.engine.adapter.AdapterFault when the adapter is no hypernetwork, or has no such task
     */
    public static int save(AdapterFolder hypernetwork, String task, Checkpoint base, Path folder, OperationProgress progress) throws IOException {
        List<GeneratedBottleneck> layers = hypernetwork.generated(task, base, progress);
        GeneratedBottleneck first = layers.getFirst();
        boolean normed = first.normWeight() != null;
        ObjectNode root = JsonNodeFactory.instance.objectNode();
        root.put("name", task).put("model_type", base.spec().family()).put("hidden_size", base.spec().hidden()).put("version", "adapters.1.3.0");
        ObjectNode config = root.putObject("config");
        config.put("mh_adapter", false).put("output_adapter", true).put("reduction_factor", (double) base.spec().hidden() / first.down().rows())
                .put("non_linearity", first.activation()).put("original_ln_before", false).put("original_ln_after", true).put("ln_before", normed)
                .put("ln_after", false).put("residual_before_ln", true).put("is_parallel", false).put("scaling", 1.0).put("phm_layer", false);
        SavedAdapter saved = new SavedAdapter(root);
        String norm = base.layout().place(Module.ATTENTION_NORM).orElseThrow().path();
        String layer = norm.substring(0, norm.lastIndexOf('.'));
        int width = base.spec().hidden();
        for (int i = 0; i < layers.size(); i++) {
            GeneratedBottleneck one = layers.get(i);
            String stem = layer.replace("%d", Integer.toString(i)) + ".output_adapters.adapters." + task + ".";
            if (normed) {
                // The library stores a norm before the way down under both names.
                for (String name : List.of("adapter_norm_before.", "adapter_down.0.")) {
                    saved.put(stem + name + "weight", new long[] {width}, one.normWeight());
                    saved.put(stem + name + "bias", new long[] {width}, one.normBias());
                }
            }
            String down = stem + (normed ? "adapter_down.1." : "adapter_down.0.");
            saved.put(down + "weight", one.down());
            saved.put(down + "bias", new long[] {one.down().rows()}, new float[one.down().rows()]);
            saved.put(stem + "adapter_up.weight", one.up());
            saved.put(stem + "adapter_up.bias", new long[] {width}, new float[width]);
        }
        saved.save(folder);
        return layers.size();
    }
}
