package dev.polyphon.engine.verify;

import dev.polyphon.engine.verify.Verifier.Mode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Verdicts as a table for people: a row for each case, its largest error against what is allowed there, in a column for each mode. */
record VerdictTable(List<List<String>> rows) {
    private static final String BEGIN = "<!-- table -->\n";
    private static final String END = "<!-- end of table -->\n";
    private static final String NONE = "–";
    private static final List<Mode> COLUMNS = List.of(Mode.ALONE, Mode.MIXED, Mode.MERGED, Mode.RELOADED);

    static VerdictTable of(List<Verdict> verdicts) {
        Map<String, Map<String, Verdict>> byCase = new TreeMap<>();
        verdicts.forEach(v -> byCase.computeIfAbsent(v.name(), n -> new TreeMap<>()).put(v.mode(), v));
        List<List<String>> rows = new ArrayList<>();
        byCase.forEach((name, modes) -> {
            List<String> row = new ArrayList<>(List.of(name));
            for (Mode mode : COLUMNS) {
                Verdict v = modes.get(mode.text());
                row.add(v == null ? NONE : "%.1e / %.1e".formatted(v.error(), v.allowed()) + (v.passed() ? "" : " failed"));
            }
            rows.add(row);
        });
        return new VerdictTable(rows);
    }

    /** The table that a document holds. */
    static VerdictTable in(String document) {
        String table = document.substring(document.indexOf(BEGIN) + BEGIN.length(), document.indexOf(END));
        return new VerdictTable(table.lines().skip(2).map(line -> Arrays.stream(line.split("\\|")).map(String::strip).filter(cell -> !cell.isEmpty()).toList())
                .toList());
    }

    static String replacedIn(String document, VerdictTable table) {
        return document.substring(0, document.indexOf(BEGIN) + BEGIN.length()) + table.markdown() + document.substring(document.indexOf(END));
    }

    String markdown() {
        StringBuilder text = new StringBuilder("| case | alone | mixed | merged | reloaded |\n|---|---|---|---|---|\n");
        rows.forEach(row -> text.append("| ").append(String.join(" | ", row)).append(" |\n"));
        return text.toString();
    }

    /** What must not differ from machine to machine: the cases, and for each mode whether there is a verdict, and whether it failed. */
    List<List<String>> outcomes() {
        return rows.stream().map(row -> row.stream().map(cell -> cell.contains(" / ") ? cell.endsWith("failed") ? "failed" : "passed" : cell).toList()).toList();
    }
}
