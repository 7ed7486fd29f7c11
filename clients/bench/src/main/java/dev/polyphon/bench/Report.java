package dev.polyphon.bench;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.ToDoubleFunction;

/**
 * What a workload came to.
 *
 * @param seconds from the first request's sending to the last answer's end
 */
record Report(Workload workload, double seconds, List<Sample> samples) {
    static final String HEADER = String.format(Locale.ROOT, "%-5s %-38s %9s %8s  %-22s  %-22s  %-26s %s", "", "", "tokens/s", "req/s",
            "first token, ms", "per token, ms", "whole answer, ms", "errors") + "\n"
            + String.format(Locale.ROOT, "%-5s %-38s %9s %8s  %-22s  %-22s  %-26s", "", "", "", "", "p50 / p95 / p99", "p50 / p95 / p99", "p50 / p95 / p99");

    List<Sample> answered() {
        return samples.stream().filter(Sample::ok).toList();
    }

    long tokens() {
        return answered().stream().mapToLong(Sample::tokens).sum();
    }

    int errors() {
        return (int) samples.stream().filter(s -> !s.ok()).count();
    }

    String firstError() {
        return samples.stream().filter(s -> !s.ok()).map(Sample::error).findFirst().orElse(null);
    }

    /** The 50th, 95th and 99th percentile in milliseconds of what {@code f} gives in nanoseconds; empty if nothing was answered. */
    double[] percentiles(ToDoubleFunction<Sample> f) {
        double[] sorted = answered().stream().mapToDouble(f).sorted().toArray();
        return sorted.length == 0 ? new double[0] : new double[] {rank(sorted, 50) / 1e6, rank(sorted, 95) / 1e6, rank(sorted, 99) / 1e6};
    }

    /** The least value that at least p percent of all do not exceed (nearest rank). */
    static double rank(double[] sorted, int p) {
        return sorted[Math.max(0, (int) ((p * (long) sorted.length + 99) / 100) - 1)];
    }

    String line() {
        return String.format(Locale.ROOT, "%-5s %-38s %9.1f %8.2f  %-22s  %-22s  %-26s %d", workload.name(), workload.title(), tokens() / seconds,
                answered().size() / seconds, text(percentiles(Sample::firstToken)), text(percentiles(Sample::perToken)),
                text(percentiles(Sample::lastToken)), errors()) + (errors() == 0 ? "" : "  first: " + firstError());
    }

    private static String text(double[] p) {
        return p.length == 0 ? "-" : String.format(Locale.ROOT, p[2] < 100 ? "%.1f / %.1f / %.1f" : "%.0f / %.0f / %.0f", p[0], p[1], p[2]);
    }

    Map<String, Object> json() {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("workload", workload);
        json.put("seconds", seconds);
        json.put("tokens", tokens());
        json.put("tokens_per_second", tokens() / seconds);
        json.put("requests_per_second", answered().size() / seconds);
        json.put("ttft_ms", named(percentiles(Sample::firstToken)));
        json.put("tpot_ms", named(percentiles(Sample::perToken)));
        json.put("e2e_ms", named(percentiles(Sample::lastToken)));
        json.put("errors", errors());
        json.put("first_error", firstError());
        return json;
    }

    private static Map<String, Double> named(double[] p) {
        return p.length == 0 ? Map.of() : new TreeMap<>(Map.of("p50", p[0], "p95", p[1], "p99", p[2]));
    }
}
