package dev.polyphon.engine.adapter;

import dev.polyphon.engine.adapter.AdapterOptions.Patterns;
import dev.polyphon.engine.model.ArchitectureSpec;
import dev.polyphon.engine.model.Layout;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.model.Site;
import java.io.IOException;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * LoRA of a mixture's experts as PEFT has it for parameters that hold all of them ({@code target_parameters}): A is [experts · r, in], expert by expert, and
 * B [out, r · experts], the experts of each rank side by side. The parameter {@code gate_up_proj} has the gates' rows before the ups'.
 */
final class ExpertReader {
    private static final String NESTED = ".base_layer";
    private static final String GATE_UP = "gate_up_proj";
    private static final String DOWN = "down_proj";

    private ExpertReader() {}

    /** Reads all there is. @return the paths of its tensors, without {@code .lora_A.weight} */
    static Set<String> read(AdapterOptions options, AdapterTensors tensors, Patterns ranks, Patterns alphas, boolean stabilised, AdapterBuilder out)
            throws IOException {
        Set<String> paths = new LinkedHashSet<>();
        Set<String> found = new TreeSet<>();
        ArchitectureSpec spec = out.spec();
        if (spec.experts() == null) {
            return paths;
        }
        for (String path : tensors.modules(".lora_A.weight")) {
            // A module of which two parameters are adapted is wrapped twice; which wrapper is whose, the shapes tell.
            String module = path;
            while (module.endsWith(NESTED)) {
                module = module.substring(0, module.length() - NESTED.length());
            }
            Optional<Integer> layer = layer(module, out);
            if (layer.isEmpty()) {
                continue;
            }
            paths.add(path);
            Matrix a = tensors.matrix(path + ".lora_A.weight");
            Matrix b = tensors.matrix(path + ".lora_B.weight");
            int up = spec.out(Module.UP);
            boolean down = a.columns() == spec.in(Module.DOWN) && b.rows() == spec.out(Module.DOWN);
            if (!down && (a.columns() != spec.in(Module.UP) || b.rows() != 2 * up)) {
                throw new AdapterFault("tensors " + path + ".lora_A.weight [" + a.rows() + ", " + a.columns() + "] and lora_B.weight [" + b.rows() + ", "
                        + b.columns() + "] are of neither " + GATE_UP + " nor " + DOWN);
            }
            String parameter = module + "." + (down ? DOWN : GATE_UP);
            found.add(parameter);
            int experts = spec.expertCount();
            int r = (int) ranks.of(parameter);
            if (a.rows() != r * experts || b.columns() != r * experts) {
                throw new AdapterFault("tensors " + path + ".lora_A.weight [" + a.rows() + ", " + a.columns() + "] and lora_B.weight [" + b.rows() + ", "
                        + b.columns() + "] are not of rank " + r + " for each of " + experts + " experts");
            }
            double scale = alphas.of(parameter) / (stabilised ? Math.sqrt(r) : r);
            for (int e = 0; e < experts; e++) {
                int expert = e;
                Matrix own = Matrix.of(r, a.columns(), (k, c) -> a.at(expert * r + k, c));
                if (down) {
                    delta(layer.get(), Module.DOWN, e, own, b, 0, scale, out);
                } else {
                    delta(layer.get(), Module.GATE, e, own, b, 0, scale, out);
                    delta(layer.get(), Module.UP, e, own, b, up, scale, out);
                }
            }
        }
        for (String parameter : options.strings("target_parameters")) {
            String last = parameter.substring(parameter.lastIndexOf('.') + 1);
            if ((last.equals(GATE_UP) || last.equals(DOWN)) && found.stream().noneMatch(name -> name.endsWith("." + parameter))) {
                throw new AdapterFault("target_parameters names " + parameter + ", for which there are no tensors");
            }
        }
        return paths;
    }

    private static void delta(int layer, Module module, int expert, Matrix a, Matrix b, int firstRow, double scale, AdapterBuilder out) throws AdapterFault {
        String path = out.base().layout().place(module).orElseThrow().path(new Site(layer, module, expert));
        int experts = out.spec().expertCount();
        out.linear(path, path).lowRank(a, Matrix.of(out.spec().out(module), a.rows(), (o, k) -> scale * b.at(firstRow + o, k * experts + expert)));
    }

    /** The layer whose experts are in a module; empty when that is another module. */
    private static Optional<Integer> layer(String module, AdapterBuilder out) {
        Layout layout = out.base().layout();
        String canonical = layout.canonical(module + ".");
        List<Site> sites = Layout.sites(Module.DOWN, out.spec());
        return sites.stream().map(Site::layer).distinct()
                .filter(layer -> layout.place(Module.DOWN).filter(place -> place.path(layer).startsWith(canonical + "%e.")).isPresent()).findFirst();
    }
}
