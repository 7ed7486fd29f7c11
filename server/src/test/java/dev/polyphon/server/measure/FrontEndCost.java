package dev.polyphon.server.measure;

import dev.polyphon.server.measure.FrontEndServer.Kind;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/**
 * Prints what the front end costs: how many requests a second it answers, what processor time each takes, and what it adds to their latency, with a runtime
 * that answers at once, beside a Netty that does nothing. The servers run in processes of their own and take turns, round by round; what is told is the
 * median of the rounds.
 *
 * <pre>java ... dev.polyphon.server.measure.FrontEndCost [seconds of a turn] [rounds] [requests a second for latencies]</pre>
 */
public final class FrontEndCost {
    private static final int CONNECTIONS = 32;
    private static final double WARM_UP_SECONDS = 6;

    /** One server, and what was found of it in each round. */
    private static final class Candidate implements AutoCloseable {
        final Process process;
        final Hammer hammer;
        final List<Double> perSecond = new ArrayList<>();
        final List<Double> micros = new ArrayList<>();
        final List<Double> median = new ArrayList<>();
        final List<Double> tail = new ArrayList<>();

        Candidate(Kind kind, boolean stream, int tokens) throws IOException {
            process = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-XX:+UseG1GC", "-Xmx512m",
                    "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow", "-cp", System.getProperty("java.class.path"),
                    FrontEndServer.class.getName(), kind.name()).redirectError(ProcessBuilder.Redirect.INHERIT).start();
            var out = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.US_ASCII));
            String line = out.readLine();
            while (line != null && !line.matches("\\d+ \\S+")) {
                line = out.readLine();
            }
            if (line == null) {
                throw new IOException("the server " + kind + " does not start");
            }
            hammer = new Hammer(Integer.parseInt(line.split(" ")[0]), CONNECTIONS, request(line.split(" ")[1], stream, tokens));
        }

        private static byte[] request(String key, boolean stream, int tokens) {
            String body = "{\"model\":\"" + InstantRuntime.ADAPTER + "\",\"prompt\":\"" + "word ".repeat(InstantRuntime.PROMPT_TOKENS) + "\",\"max_tokens\":" + tokens
                    + ",\"temperature\":0.7,\"stream\":" + stream + "}";
            return ("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + key + "\r\nContent-Type: application/json\r\nContent-Length: "
                    + body.length() + "\r\n\r\n" + body).getBytes(StandardCharsets.US_ASCII);
        }

        private double processorSeconds() {
            return process.info().totalCpuDuration().orElse(Duration.ZERO).toNanos() / 1e9;
        }

        void saturate(double seconds) throws IOException {
            double before = processorSeconds();
            Hammer.Result result = hammer.run(seconds, 0);
            perSecond.add(result.perSecond());
            micros.add((processorSeconds() - before) * 1e6 / result.nanos().length);
        }

        void pace(double seconds, double rate) throws IOException {
            Hammer.Result result = hammer.run(seconds, rate);
            median.add(result.millis(0.5));
            tail.add(result.millis(0.99));
        }

        @Override
        public void close() throws IOException {
            hammer.close();
            process.destroyForcibly();
        }
    }

    private FrontEndCost() {}

    public static void main(String[] arguments) throws IOException {
        double seconds = arguments.length > 0 ? Double.parseDouble(arguments[0]) : 2;
        int rounds = arguments.length > 1 ? Integer.parseInt(arguments[1]) : 7;
        double rate = arguments.length > 2 ? Double.parseDouble(arguments[2]) : 2000;
        System.out.printf(Locale.ROOT, "%d connections, %d rounds of %.1f s; latencies at %.0f requests a second%n", CONNECTIONS, rounds, seconds, rate);
        measure(false, 16, seconds, rounds, rate);
        measure(true, 64, seconds, rounds, rate);
    }

    private static void measure(boolean stream, int tokens, double seconds, int rounds, double rate) throws IOException {
        Map<Kind, Candidate> candidates = new EnumMap<>(Kind.class);
        try {
            for (Kind kind : Kind.values()) {
                // An echo streams nothing.
                if (!stream || kind != Kind.ECHO) {
                    candidates.put(kind, new Candidate(kind, stream, tokens));
                    candidates.get(kind).hammer.run(WARM_UP_SECONDS, 0);
                }
            }
            for (int round = 0; round < rounds; round++) {
                for (Candidate candidate : candidates.values()) {
                    candidate.saturate(seconds);
                }
                for (Candidate candidate : candidates.values()) {
                    candidate.pace(seconds, rate);
                }
            }
            print((stream ? "streamed, " : "whole, ") + tokens + " tokens", candidates);
        } finally {
            for (Candidate candidate : candidates.values()) {
                candidate.close();
            }
        }
    }

    private static void print(String what, Map<Kind, Candidate> candidates) {
        System.out.printf("%n| %s | requests/s | processor time, us | p50, ms | p99, ms |%n|---|---|---|---|---|%n", what);
        candidates.forEach((kind, one) -> System.out.printf(Locale.ROOT, "| %s | %.0f | %.1f | %.2f | %.2f |%n", title(kind), median(one.perSecond), median(one.micros),
                median(one.median), median(one.tail)));
        Candidate bare = candidates.get(Kind.BARE);
        Candidate all = candidates.get(Kind.ALL);
        System.out.printf(Locale.ROOT, "tenants, quotas and metrics: %.1f %% fewer requests a second, %.1f %% more processor time%n",
                100 * (1 - ratio(bare, all, one -> one.perSecond)), 100 * (ratio(bare, all, one -> one.micros) - 1));
    }

    private static String title(Kind kind) {
        return switch (kind) {
            case ECHO -> "plain Netty, one answer for all";
            case BARE -> "front end alone";
            case METRICS -> "and metrics";
            case ALL -> "and tenants, keys, quotas, usage";
        };
    }

    /** The median over the rounds of one's figure by the other's of the same round: what disturbs a round disturbs both. */
    private static double ratio(Candidate before, Candidate after, Function<Candidate, List<Double>> figure) {
        List<Double> ratios = new ArrayList<>();
        for (int i = 0; i < figure.apply(before).size(); i++) {
            ratios.add(figure.apply(after).get(i) / figure.apply(before).get(i));
        }
        return median(ratios);
    }

    private static double median(List<Double> values) {
        return values.stream().sorted().toList().get(values.size() / 2);
    }
}
