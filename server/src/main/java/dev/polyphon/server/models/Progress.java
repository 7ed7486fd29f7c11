package dev.polyphon.server.models;

import java.io.PrintStream;
import java.util.Locale;

/**
 * Tells a person how a transfer, or other work that can be counted, goes: one line that is rewritten on a terminal, a line every so often anywhere else.
 * One thread uses it.
 */
public final class Progress {
    private static final long LIVE_NANOS = 200_000_000L;
    private static final long LOG_NANOS = 5_000_000_000L;
    private static final String CLEAR_LINE = "\r\033[K";

    private final PrintStream out;
    private final boolean live;
    private final Unit unit;
    private boolean lineOpen;
    private long total;
    private long startDone;
    private long startNanos;
    private long shownNanos;

    /** What is counted. */
    public enum Unit {
        BYTES(1 << 20, 1, " MiB", " MiB/s"),
        REQUESTS(1, 0, " requests", "/s");

        private final double scale;
        private final int digits;
        private final String name;
        private final String rate;

        Unit(double scale, int digits, String name, String rate) {
            this.scale = scale;
            this.digits = digits;
            this.name = name;
            this.rate = rate;
        }

        private String text(long count) {
            return String.format(Locale.ROOT, "%." + digits + "f", count / scale);
        }

        private String rate(double perSecond) {
            return String.format(Locale.ROOT, "%.1f%s", perSecond / scale, rate);
        }
    }

    /** Counts bytes. */
    public Progress(PrintStream out, boolean live) {
        this(out, live, Unit.BYTES);
    }

    /** @param live whether {@code out} is a terminal */
    public Progress(PrintStream out, boolean live, Unit unit) {
        this.out = out;
        this.live = live;
        this.unit = unit;
    }

    /** Says something else in between. */
    public void say(String line) {
        closeLine();
        out.println(line);
    }

    /** It starts. {@code done} of {@code total} are there already; {@code total} 0 means not known. */
    public void start(long done, long total) {
        this.total = total;
        startDone = done;
        startNanos = System.nanoTime();
        shownNanos = startNanos;
    }

    /** {@code done} are there now, those before {@link #start} counted. */
    public void at(long done) {
        var now = System.nanoTime();
        if (now - shownNanos < (live ? LIVE_NANOS : LOG_NANOS)) {
            return;
        }
        shownNanos = now;
        var line = "    " + state(unit, done, total, (done - startDone) / ((now - startNanos) * 1e-9));
        if (live) {
            out.print(CLEAR_LINE + line);
            out.flush();
            lineOpen = true;
        } else {
            out.println(line);
        }
    }

    public void finish() {
        closeLine();
    }

    static String state(Unit unit, long done, long total, double perSecond) {
        if (total <= 0 || done > total) {
            return unit.text(done) + unit.name + ", " + unit.rate(perSecond);
        }
        var left = perSecond > 0 ? ", " + duration((long) Math.ceil((total - done) / perSecond)) + " left" : "";
        return String.format(Locale.ROOT, "%3d%%  %s of %s%s, %s%s", 100 * done / total, unit.text(done), unit.text(total), unit.name, unit.rate(perSecond), left);
    }

    static String mebibytes(double bytes) {
        return String.format(Locale.ROOT, "%.1f", bytes / (1 << 20));
    }

    private static String duration(long seconds) {
        if (seconds < 100) {
            return seconds + " s";
        }
        return seconds < 6000 ? Math.ceilDiv(seconds, 60) + " min" : Math.ceilDiv(seconds, 3600) + " h";
    }

    private void closeLine() {
        if (lineOpen) {
            out.print(CLEAR_LINE);
            out.flush();
            lineOpen = false;
        }
    }
}
