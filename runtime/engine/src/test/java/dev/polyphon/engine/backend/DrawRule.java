package dev.polyphon.engine.backend;

import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;

/** The rule of {@link Draw}, sorted and in double. */
final class DrawRule {
    private DrawRule() {}

    /** The tokens that the rule gives when its numbers are a little off. */
    static Set<Integer> tokens(float[] logits, Draw draw) {
        Set<Integer> tokens = new HashSet<>();
        for (double p : new double[] {-1e-5, 0, 1e-5}) {
            for (double u : new double[] {-1e-5, 0, 1e-5}) {
                tokens.add(token(logits, draw, p, u));
            }
        }
        return tokens;
    }

    private static int token(float[] logits, Draw draw, double offP, double offUniform) {
        List<Integer> order = IntStream.range(0, logits.length).boxed().sorted(Comparator.<Integer>comparingDouble(i -> -logits[i]).thenComparing(i -> i)).toList();
        if (draw.temperature() == 0) {
            return order.getFirst();
        }
        double max = logits[order.getFirst()];
        List<Integer> kept = draw.topK() > 0 ? order.subList(0, Math.min(draw.topK(), order.size())) : order;
        if (draw.topP() < 1) {
            double wanted = (draw.topP() + offP) * kept.stream().mapToDouble(i -> weight(logits[i], max, draw)).sum();
            int n = 0;
            for (double sum = 0; n < kept.size() && (n == 0 || sum < wanted); n++) {
                sum += weight(logits[kept.get(n)], max, draw);
            }
            kept = kept.subList(0, n);
        }
        double lowest = draw.minP() > 0 ? max + draw.temperature() * Math.log(draw.minP()) : Double.NEGATIVE_INFINITY;
        List<Integer> ascending = kept.stream().filter(i -> logits[i] >= lowest).sorted().toList();
        double left = Math.clamp(draw.uniform() + offUniform, 0, 1) * ascending.stream().mapToDouble(i -> weight(logits[i], max, draw)).sum();
        int token = -1;
        for (int i : ascending) {
            double weight = weight(logits[i], max, draw);
            if (weight > 0) {
                token = i;
                left -= weight;
                if (left < 0) {
                    break;
                }
            }
        }
        return token;
    }

    private static double weight(float logit, double max, Draw draw) {
        return Math.exp((logit - max) / draw.temperature());
    }
}
