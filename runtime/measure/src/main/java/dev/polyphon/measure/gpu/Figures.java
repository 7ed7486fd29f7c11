package dev.polyphon.measure.gpu;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/** Collects what was measured: a line of a table and an entry of a JSON file for each, written anew with every one so that nothing is lost when a run ends early. */
final class Figures {
    private static final String ROW = "| %-62s | %22s | %22s | %10s | %-6s |%n";

    private final ObjectNode root = new ObjectMapper().createObjectNode();
    private final ArrayNode entries = root.putArray("figures");
    private final Path file;
    private int missed;

    /** @param file null for none */
    Figures(Path file) {
        this.file = file;
    }

    /** Something to know about the run. */
    void note(String key, String value) throws IOException {
        root.put(key, value);
        save();
    }

    void heading() {
        System.out.printf(ROW, "", "measured", "beside", "ratio", "goal");
        System.out.println("|" + "---|".repeat(5));
    }

    /** What a figure should be. */
    record Goal(boolean atLeast, double ratio) {
        @Override
        public String toString() {
            return (atLeast ? ">= " : "<= ") + trimmed(ratio);
        }
    }

    /**
     * A measured value beside what it is compared with.
     *
     * @param limit NaN when that was not measured
     * @param goal of value / limit; null for none
     */
    void add(String name, double value, double limit, String unit, Goal goal) throws IOException {
        double ratio = value / limit;
        boolean reached = goal == null || (goal.atLeast ? ratio >= goal.ratio : ratio <= goal.ratio);
        missed += Double.isNaN(ratio) || reached ? 0 : 1;
        System.out.printf(ROW, name, number(value) + " " + unit, Double.isNaN(limit) ? "not measured" : number(limit) + " " + unit,
                Double.isNaN(ratio) ? "" : String.format(Locale.ROOT, "%.3f", ratio), goal == null || Double.isNaN(ratio) ? "" : goal + (reached ? "" : " MISSED"));
        ObjectNode entry = entries.addObject().put("name", name).put("value", value).put("unit", unit);
        if (!Double.isNaN(limit)) {
            entry.put("beside", limit);
        }
        if (goal != null) {
            entry.put("goal", goal.toString());
        }
        save();
    }

    /** How many goals were not reached. */
    int missed() {
        return missed;
    }

    private void save() throws IOException {
        if (file != null) {
            Files.write(file, new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValueAsBytes(root));
        }
    }

    private static String number(double value) {
        return String.format(Locale.ROOT, Math.abs(value) >= 100 ? "%.0f" : "%.3f", value);
    }

    private static String trimmed(double value) {
        return value == Math.rint(value) ? Long.toString((long) value) : Double.toString(value);
    }
}
