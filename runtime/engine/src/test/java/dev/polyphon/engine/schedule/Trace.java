package dev.polyphon.engine.schedule;

import dev.polyphon.runtime.Scheduling;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;
import java.util.random.RandomGenerator;

/** Loads for {@link Simulation}: made up, or recorded. */
public final class Trace {
    private static final int VOCABULARY = 32_000;

    private Trace() {}

    /**
     * Tenants that send alike in bursts, of whom the first may send many times as much.
     *
     * @param rate requests of all tenants in a second, those that the first sends beyond its part not counted
     * @param noise how many times as much the first sends
     * @param adapters their number; tenant {@code t} uses every one of them whose number leaves {@code t}, popular as Zipf says
     * @param instructions tokens with which all prompts for an adapter begin
     */
    public record Load(long seed, double seconds, int tenants, double rate, double noise, int adapters, double zipf, int instructions) {

        public List<Arrival> make() {
            double[] popularity = new double[adapters / tenants];
            double sum = 0;
            for (int i = 0; i < popularity.length; i++) {
                sum += Math.pow(i + 1, -zipf);
                popularity[i] = sum;
            }
            List<Arrival> all = new ArrayList<>();
            for (int tenant = 0; tenant < tenants; tenant++) {
                RandomGenerator random = new SplittableRandom(seed * 1_000_003 + tenant);
                double own = rate / tenants * (tenant == 0 ? noise : 1);
                // Bursts: a quarter of the time at three times the rate, the rest at a third of it.
                double time = 0;
                while ((time -= Math.log(1 - random.nextDouble()) / (3 * own)) < seconds) {
                    boolean burst = ((int) (time / 15) + tenant) % 4 == 0;
                    if (!burst && random.nextInt(9) > 0) {
                        continue;
                    }
                    int rank = Arrays.binarySearch(popularity, random.nextDouble() * sum);
                    int adapter = (rank < 0 ? -rank - 1 : rank) * tenants + tenant;
                    all.add(new Arrival((long) (time * Arrival.SECOND), Scheduling.of("t" + tenant), adapter,
                            prompt(adapter, instructions, size(random, 90), random), size(random, 60)));
                }
            }
            all.sort(Comparator.comparingLong(Arrival::time));
            return all;
        }
    }

    /** Lengths are log-normal, with a long tail. */
    private static int size(RandomGenerator random, double median) {
        return (int) Math.clamp(Math.round(median * Math.exp(0.7 * random.nextGaussian())), 4, 800);
    }

    private static int[] prompt(int adapter, int instructions, int length, RandomGenerator random) {
        int[] prompt = new int[instructions + length];
        for (int i = 0; i < prompt.length; i++) {
            prompt[i] = i < instructions ? Math.floorMod(adapter * 31 + i, VOCABULARY) : random.nextInt(VOCABULARY);
        }
        return prompt;
    }

    /** Reads lines of {@code seconds,tenant,share,priority,adapter,prompt tokens,output tokens}, sorted by time; lines with a # are comments. */
    static List<Arrival> read(Path file) throws IOException {
        List<Arrival> all = new ArrayList<>();
        RandomGenerator random = new SplittableRandom(1);
        for (String line : Files.readAllLines(file)) {
            if (!line.isBlank() && !line.startsWith("#")) {
                String[] f = line.split(",");
                Scheduling scheduling = Scheduling.of(f[1]).withShare(Double.parseDouble(f[2])).withPriority(Integer.parseInt(f[3]));
                int adapter = Integer.parseInt(f[4]);
                all.add(new Arrival((long) (Double.parseDouble(f[0]) * Arrival.SECOND), scheduling, adapter,
                        prompt(adapter, 0, Integer.parseInt(f[5]), random), Integer.parseInt(f[6])));
            }
        }
        return all;
    }
}
