package dev.polyphon.server.models;

import java.io.PrintStream;
import java.util.Locale;

/** Tells a person how a transfer goes: one line that is rewritten on a terminal, a line every so often anywhere else. One thread uses it. */
public final class Progress {
    private static final long LIVE_NANOS = 200_000_000L;
    private static final long LOG_NANOS = 5_000_000_000L;
    private static final String CLEAR_LINE = "\r\033[K";

    private final PrintStream out;
    private final boolean live;
    private boolean lineOpen;
    private long total;
    private long startBytes;
    private long startNanos;
    private long shownNanos;

    /** @param live whether {@code out} is a terminal */
    public Progress(PrintStream out, boolean live) {
        this.out = out;
        this.live = live;
    }

    void say(String line) {
        closeLine();
        out.println(line);
    }

    /** A transfer starts. {@code done} bytes of {@code total} are there already; {@code total} 0 means not known. */
    public void start(long done, long total) {
        this.total = total;
        startBytes = done;
        startNanos = System.nanoTime();
        shownNanos = startNanos;
    }

    /** {@code done} bytes are there now, those before {@link #start} counted. */
    public void at(long done) {
        var now = System.nanoTime();
        if (now - shownNanos < (live ? LIVE_NANOS : LOG_NANOS)) {
            return;
        }
        shownNanos = now;
        var line = "    " + state(done, total, (done - startBytes) / ((now - startNanos) * 1e-9));
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

    static String state(long done, long total, double bytesPerSecond) {
        if (total <= 0 || done > total) {
            return mebibytes(done) + " MiB, " + mebibytes(bytesPerSecond) + " MiB/s";
        }
        var left = bytesPerSecond > 0 ? ", " + duration((long) Math.ceil((total - done) / bytesPerSecond)) + " left" : "";
        return String.format(Locale.ROOT, "%3d%%  %s of %s MiB, %s MiB/s%s",
                100 * done / total, mebibytes(done), mebibytes(total), mebibytes(bytesPerSecond), left);
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
