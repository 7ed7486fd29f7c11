package dev.polyphon.client;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** What {@code /metrics} showed at a moment. */
public record Metrics(List<Sample> samples) {
    private static final Pattern SAMPLE = Pattern.compile("([\\w:]+)(?:\\{(.*)})? (\\S+).*");
    private static final Pattern LABEL = Pattern.compile("(\\w+)=\"((?:[^\"\\\\]|\\\\.)*)\"");

    /** One value of a metric. */
    public record Sample(String name, Map<String, String> labels, double value) {}

    public Metrics {
        samples = List.copyOf(samples);
    }

    /** Reads Prometheus' text format. */
    static Metrics parse(String text) {
        var samples = new ArrayList<Sample>();
        text.lines().filter(line -> !line.startsWith("#")).forEach(line -> {
            var sample = SAMPLE.matcher(line);
            if (sample.matches()) {
                var labels = new HashMap<String, String>();
                var label = LABEL.matcher(sample.group(2) == null ? "" : sample.group(2));
                while (label.find()) {
                    labels.put(label.group(1), label.group(2).replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\"));
                }
                samples.add(new Sample(sample.group(1), Map.copyOf(labels), number(sample.group(3))));
            }
        });
        return new Metrics(samples);
    }

    private static double number(String text) {
        return switch (text) {
            case "+Inf" -> Double.POSITIVE_INFINITY;
            case "-Inf" -> Double.NEGATIVE_INFINITY;
            default -> Double.parseDouble(text);
        };
    }

    /** The sum of a metric's samples, 0 when there are none. */
    public double sum(String name) {
        return sum(name, Map.of());
    }

    /** The sum of those of a metric's samples that have these labels. */
    public double sum(String name, Map<String, String> labels) {
        return samples.stream()
                .filter(sample -> sample.name.equals(name) && sample.labels.entrySet().containsAll(labels.entrySet()))
                .mapToDouble(Sample::value)
                .sum();
    }

    /** The values that a metric's label has, in order. */
    public List<String> values(String name, String label) {
        return samples.stream().filter(sample -> sample.name.equals(name)).map(sample -> sample.labels.getOrDefault(label, "")).distinct().sorted().toList();
    }
}
