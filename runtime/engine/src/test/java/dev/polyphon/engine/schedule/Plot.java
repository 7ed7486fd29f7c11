package dev.polyphon.engine.schedule;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** A line chart as SVG, with a logarithmic vertical axis; or percentages over a logarithmic horizontal one. */
public final class Plot {
    private static final int WIDTH = 720;
    private static final int HEIGHT = 360;
    private static final int LEFT = 60;
    private static final int BOTTOM = 44;
    private static final int TOP = 40;
    private static final int RIGHT = 16;
    private static final String[] COLOURS = {"#0b6e4f", "#c0392b", "#7f8c8d", "#2c6fbb"};

    private record Line(String name, List<double[]> points) {}

    private final String title;
    private final String across;
    private final String up;
    private final List<Line> lines = new ArrayList<>();
    private boolean percent;

    public Plot(String title, String across, String up) {
        this.title = title;
        this.across = across;
        this.up = up;
    }

    /** What goes up is percent, from 0 to 100, and what goes across doubles from each of a line's points to the next. */
    public Plot percent() {
        percent = true;
        return this;
    }

    /** Adds a line through points [x, y], y above 0. */
    public Plot line(String name, List<double[]> points) {
        lines.add(new Line(name, points));
        return this;
    }

    public void write(Path file) throws IOException {
        double right = lines.stream().flatMap(l -> l.points.stream()).mapToDouble(p -> p[0]).max().orElse(1);
        double left = lines.stream().flatMap(l -> l.points.stream()).mapToDouble(p -> p[0]).min().orElse(0);
        double low = Math.floor(Math.log10(lines.stream().flatMap(l -> l.points.stream()).mapToDouble(p -> p[1]).min().orElse(1)));
        double high = Math.ceil(Math.log10(lines.stream().flatMap(l -> l.points.stream()).mapToDouble(p -> p[1]).max().orElse(10)));
        StringBuilder svg = new StringBuilder();
        svg.append("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">%n".formatted(WIDTH, HEIGHT));
        svg.append("<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
        svg.append("<text x=\"%d\" y=\"18\" font-size=\"14\">%s</text>%n".formatted(LEFT, title));
        for (int step = 0; step <= (percent ? 4 : high - low); step++) {
            double value = percent ? 25 * step : Math.pow(10, low + step);
            double y = y(value, low, high);
            svg.append(String.format(Locale.ROOT, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>%n", LEFT, WIDTH - RIGHT, y, y));
            svg.append(String.format(Locale.ROOT, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>%n", LEFT - 6, y + 4, number(value)));
        }
        int marks = percent ? (int) Math.round(Math.log(right / left) / Math.log(2)) : 4;
        for (int i = 0; i <= marks; i++) {
            double value = percent ? left * (1 << i) : right * i / 4;
            svg.append(String.format(Locale.ROOT, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>%n", x(value, left, right), HEIGHT - BOTTOM + 16, number(value)));
        }
        svg.append("<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>%n".formatted((WIDTH + LEFT) / 2, HEIGHT - 8, across));
        svg.append("<text transform=\"translate(14 %d) rotate(-90)\" text-anchor=\"middle\">%s</text>%n".formatted(HEIGHT / 2, up));
        for (int i = 0; i < lines.size(); i++) {
            String colour = COLOURS[i % COLOURS.length];
            StringBuilder path = new StringBuilder();
            for (double[] point : lines.get(i).points) {
                path.append(String.format(Locale.ROOT, "%.1f,%.1f ", x(point[0], left, right), y(point[1], low, high)));
            }
            svg.append("<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\" points=\"%s\"/>%n".formatted(colour, path.toString().strip()));
            svg.append("<text x=\"%d\" y=\"%d\" fill=\"%s\">%s</text>%n".formatted(LEFT + i * 215, TOP - 6, colour, lines.get(i).name));
        }
        svg.append("</svg>\n");
        Files.createDirectories(file.getParent());
        Files.writeString(file, svg);
    }

    private double x(double value, double left, double right) {
        return LEFT + (percent ? Math.log(value / left) / Math.log(right / left) : value / right) * (WIDTH - LEFT - RIGHT);
    }

    private double y(double value, double low, double high) {
        return TOP + (percent ? 1 - value / 100 : (high - Math.log10(value)) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    }

    private static String number(double value) {
        return value == Math.rint(value) ? Long.toString((long) value) : String.format(Locale.ROOT, value < 0.1 ? "%.2f" : value < 10 ? "%.1f" : "%.0f", value);
    }
}
