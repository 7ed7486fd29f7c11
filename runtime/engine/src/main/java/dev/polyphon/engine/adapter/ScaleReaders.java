package dev.polyphon.engine.adapter;

import dev.polyphon.engine.adapter.AdapterBuilder.Target;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Layout;
import java.io.IOException;
import java.util.regex.PatternSyntaxException;

/** Families that rescale or turn what is there. */
final class ScaleReaders {
    private ScaleReaders() {}

    /** IA3 (Liu et al. 2022): outputs scaled, or inputs at feed-forward modules. */
    static void ia3(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("feedforward_modules", "init_ia3_weights");
        for (String path : tensors.modules(".ia3_l")) {
            Target target = out.linear(path, path + ".ia3_l");
            if (feedForward(options, path)) {
                target.form(new Form.InputScale(out.vector(tensors.vector(path + ".ia3_l", target.in()))));
            } else {
                target.scaleShift(tensors.vector(path + ".ia3_l", target.out()), null);
            }
        }
    }

    private static boolean feedForward(AdapterOptions options, String path) throws AdapterFault {
        try {
            return options.names("feedforward_modules", path);
        } catch (PatternSyntaxException e) {
            throw new AdapterFault("feedforward_modules is the invalid pattern " + e.getPattern() + ": " + e.getDescription());
        }
    }

    /** RoAd (Liao and Monz 2024): pairs of outputs turned and scaled. */
    static void road(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand("variant", "group_size");
        String variant = options.string("variant", "road_1");
        int group = options.integer("group_size");
        for (String path : tensors.modules(".road_theta")) {
            Target target = out.linear(path, path + ".road_theta");
            int width = target.out();
            if (group < 2 || group % 2 != 0 || width % group != 0) {
                throw new AdapterFault("group_size " + group + " does not divide the " + width + " outputs of " + path);
            }
            int half = group / 2;
            int parameters = switch (variant) {
                case "road_1" -> width / 2;
                case "road_2" -> width;
                case "road_4" -> 2 * width;
                default -> throw new AdapterFault("variant " + variant + " is not supported");
            };
            float[] theta = tensors.vector(path + ".road_theta", parameters);
            float[] alpha = tensors.vector(path + ".road_alpha", parameters);
            float[] cos = new float[width];
            float[] sin = new float[width];
            for (int i = 0; i < width; i++) {
                int forCos = switch (variant) {
                    case "road_1" -> i / group * half + i % half;
                    case "road_2" -> i;
                    default -> i / group * 2 * group + i % group;
                };
                int forSin = variant.equals("road_4") ? forCos + group : forCos;
                cos[i] = (float) (alpha[forCos] * Math.cos(theta[forCos]));
                sin[i] = (float) (alpha[forSin] * Math.sin(theta[forSin]));
            }
            for (Layout.Part part : target.sites()) {
                checkWhole(part.rows(), group, path);
                out.add(part.site(), new Form.PairTurn(group, out.vector(AdapterBuilder.select(cos, part)), out.vector(AdapterBuilder.select(sin, part))));
            }
        }
    }

    /** Pairs are within a group, which has to be in one part of a fused module, in order. */
    private static void checkWhole(int[] rows, int group, String path) throws AdapterFault {
        for (int i = 0; rows != null && i < rows.length; i++) {
            int first = i - i % group;
            if (rows.length % group != 0 || rows[first] % group != 0 || rows[i] != rows[first] + i % group) {
                throw new AdapterFault("group_size " + group + " does not divide the parts of the fused module " + path);
            }
        }
    }

    /** LN tuning (Zhao et al. 2024): norms with weights of their own. */
    static void layerNorms(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException {
        options.understand();
        for (String path : tensors.modules(".ln_tuning_layers.weight")) {
            Target target = out.target(path, path + ".ln_tuning_layers.weight");
            if (!target.module().norm()) {
                throw new AdapterFault("tensor " + path + ".ln_tuning_layers.weight does not belong to a norm");
            }
            SavedModules.norm(target, tensors, path, path + ".ln_tuning_layers", out);
        }
    }
}
