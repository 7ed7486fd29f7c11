package dev.polyphon.engine.sample;

import dev.polyphon.runtime.Sampling;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/** Temperature, top-k, top-p and min-p by a full sort in double precision. */
final class ReferenceTruncation {
    private final double[] weights;
    private final List<Integer> kept;
    /** Least distance between a cumulated probability and top-p: nearer than float precision, the cut is arbitrary. */
    private double margin = 1;

    ReferenceTruncation(float[] logits, Sampling params) {
        double max = IntStream.range(0, logits.length).mapToDouble(i -> logits[i]).max().orElseThrow();
        weights = IntStream.range(0, logits.length).mapToDouble(i -> Math.exp((logits[i] - max) / params.temperature())).toArray();
        var order = new ArrayList<>(IntStream.range(0, logits.length).boxed()
                .sorted(Comparator.comparingDouble((Integer i) -> -(double) logits[i]).thenComparing(i -> i)).toList());
        if (params.topK() > 0 && params.topK() < order.size()) {
            order.subList(params.topK(), order.size()).clear();
        }
        if (params.topP() < 1) {
            double sum = order.stream().mapToDouble(i -> weights[i]).sum();
            double reached = 0;
            int count = 0;
            while (count < order.size() && (count == 0 || reached < params.topP())) {
                reached += weights[order.get(count++)] / sum;
                margin = Math.min(margin, Math.abs(reached - params.topP()));
            }
            order.subList(count, order.size()).clear();
        }
        if (params.minP() > 0) {
            order.removeIf(i -> logits[i] < max + params.temperature() * Math.log(params.minP()));
        }
        kept = order;
    }

    /** Ids that may be drawn. */
    List<Integer> kept() {
        return kept;
    }

    double margin() {
        return margin;
    }

    double[] probabilities() {
        double sum = kept.stream().mapToDouble(i -> weights[i]).sum();
        return IntStream.range(0, weights.length).mapToDouble(i -> kept.contains(i) ? weights[i] / sum : 0).toArray();
    }
}
