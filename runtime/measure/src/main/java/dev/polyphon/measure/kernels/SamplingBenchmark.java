package dev.polyphon.measure.kernels;

import dev.polyphon.engine.sample.Choice;
import dev.polyphon.engine.sample.Sampler;
import dev.polyphon.engine.sample.Vocabulary;
import dev.polyphon.runtime.Sampling;
import java.util.Random;
import java.util.Set;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** The choice of one token among 49152, on one thread. Bytes of logits. */
@State(Scope.Benchmark)
public class SamplingBenchmark {
    private static final int VOCABULARY = 49152;
    private static final int ROWS = 16;

    @Param({"greedy", "temperature", "top-k 40", "top-p 0.9", "penalties", "logprobs 5"})
    public String sampling;

    private final float[] logits = new float[ROWS * VOCABULARY];
    private Sampler sampler;
    private int row;

    @Setup
    public void make() {
        Random random = new Random(1);
        for (int i = 0; i < logits.length; i++) {
            logits[i] = (float) (3 * random.nextGaussian());
        }
        Sampling.Builder params = Sampling.builder().temperature(sampling.equals("greedy") ? 0 : 0.8f);
        switch (sampling) {
            case "top-k 40" -> params.topK(40);
            case "top-p 0.9" -> params.topP(0.9f);
            case "penalties" -> params.repetitionPenalty(1.1f);
            case "logprobs 5" -> params.logprobs(5);
            default -> {}
        }
        sampler = new Sampler(params.build(), 1, new int[] {1, 2, 3}, new Vocabulary(VOCABULARY, Set.of(0), _ -> new byte[0]));
    }

    @Benchmark
    public Choice sample(Work work) {
        row = (row + 1) % ROWS;
        work.did(4.0 * VOCABULARY, 0);
        return sampler.next(logits, row * VOCABULARY);
    }
}
