package dev.polyphon.engine.text;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntFunction;

/**
 * Turns the tokens of one sequence into text as they come: never a part of a character, never a part of a stop string. What it returns over time,
 * {@link #flush} included, is the text of all tokens at once, up to the first stop string. Not thread-safe.
 */
public final class TextStream {
    private static final byte[] NONE = {};

    private final IntFunction<byte[]> bytes;
    private final boolean stripsFirstSpace;
    private final String[] stops;
    private final StringBuilder held = new StringBuilder();
    private byte[] pending = new byte[16];
    private int pendingLength;
    private boolean first = true;
    private boolean stopped;

    /**
     * @param bytes what a token adds
     * @param stripsFirstSpace whether a space at the very beginning is left out
     */
    TextStream(IntFunction<byte[]> bytes, boolean stripsFirstSpace, List<String> stops) {
        this.bytes = bytes;
        this.stripsFirstSpace = stripsFirstSpace;
        this.stops = stops.stream().filter(s -> !s.isEmpty()).toArray(String[]::new);
    }

    /** For models without a tokenizer: tokens have no text. */
    public static TextStream none() {
        return new TextStream(token -> NONE, false, List.of());
    }

    /** Adds a token and returns the characters that became final. */
    public String push(int token) {
        if (stopped) {
            return "";
        }
        byte[] added = bytes.apply(token);
        int from = 0;
        if (first && added.length > 0) {
            first = false;
            from = stripsFirstSpace && added[0] == ' ' ? 1 : 0;
        }
        append(added, from);
        return release(complete(), false);
    }

    /** Ends the sequence and returns what was held back. */
    public String flush() {
        return stopped ? "" : release(pendingLength, true);
    }

    /** Whether a stop string occurred; what precedes it was returned. */
    public boolean stopped() {
        return stopped;
    }

    private void append(byte[] added, int from) {
        int length = added.length - from;
        if (pendingLength + length > pending.length) {
            pending = Arrays.copyOf(pending, 2 * (pendingLength + length));
        }
        System.arraycopy(added, from, pending, pendingLength, length);
        pendingLength += length;
    }

    /** How many pending bytes are whole characters, or can no longer become one. */
    private int complete() {
        for (int back = 1; back <= Math.min(3, pendingLength); back++) {
            int lead = pending[pendingLength - back] & 0xFF;
            if (lead >= 0x80 && lead < 0xC0) {
                continue;
            }
            int needed = lead < 0xC2 || lead > 0xF4 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
            boolean unfinished = needed > back && (back < 2 || validSecond(lead, pending[pendingLength - back + 1] & 0xFF));
            return unfinished ? pendingLength - back : pendingLength;
        }
        return pendingLength;
    }

    /** Some lead bytes allow fewer second bytes (Unicode, table 3-7): after others the lead byte is malformed by itself. */
    private static boolean validSecond(int lead, int second) {
        return switch (lead) {
            case 0xE0 -> second >= 0xA0;
            case 0xED -> second < 0xA0;
            case 0xF0 -> second >= 0x90;
            case 0xF4 -> second < 0x90;
            default -> true;
        };
    }

    private String release(int count, boolean end) {
        if (count > 0) {
            markSurrogates(count);
            String text = new String(pending, 0, count, StandardCharsets.UTF_8);
            System.arraycopy(pending, count, pending, 0, pendingLength - count);
            pendingLength -= count;
            if (stops.length == 0) {
                return text;
            }
            held.append(text);
        }
        int stop = firstStop();
        if (stop >= 0) {
            stopped = true;
            return held.substring(0, stop);
        }
        int keep = end ? 0 : longestStopPrefix();
        String text = held.substring(0, held.length() - keep);
        held.delete(0, held.length() - keep);
        return text;
    }

    /** Java takes an encoded surrogate for one error, the Unicode standard and other decoders for one at each byte: 0xFF is one by itself. */
    private void markSurrogates(int count) {
        for (int i = 0; i + 1 < count; i++) {
            if ((pending[i] & 0xFF) == 0xED && (pending[i + 1] & 0xE0) == 0xA0) {
                pending[i] = (byte) 0xFF;
            }
        }
    }

    private int firstStop() {
        int earliest = -1;
        for (String stop : stops) {
            int at = held.indexOf(stop);
            if (at >= 0 && (earliest < 0 || at < earliest)) {
                earliest = at;
            }
        }
        return earliest;
    }

    /** Length of the longest end of the held text that a stop string begins with. */
    private int longestStopPrefix() {
        int longest = 0;
        for (String stop : stops) {
            for (int length = Math.min(stop.length() - 1, held.length()); length > longest; length--) {
                if (stop.startsWith(held.substring(held.length() - length))) {
                    longest = length;
                }
            }
        }
        return longest;
    }
}
