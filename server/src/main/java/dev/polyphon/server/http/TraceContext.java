package dev.polyphon.server.http;

import java.util.regex.Pattern;

/**
 * Where a request stands in its caller's trace (W3C Trace Context, level 1).
 *
 * @param traceId 32 hexadecimal digits
 * @param parentId 16 of them: the caller's span
 * @param sampled whether the caller records its own
 */
public record TraceContext(String traceId, String parentId, boolean sampled) {
    /** Of versions that are not known yet, what stands behind the flags is left alone (section 3.2.4). */
    private static final Pattern TRACEPARENT = Pattern.compile("([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?");

    /** What a header says; null when there is none or it is not valid, which begins a new trace (section 4.3). */
    public static TraceContext parse(String traceparent) {
        if (traceparent == null) {
            return null;
        }
        var match = TRACEPARENT.matcher(traceparent.strip());
        if (!match.matches()) {
            return null;
        }
        String version = match.group(1);
        boolean known = version.equals("00") ? match.group(5) == null : !version.equals("ff");
        if (!known || match.group(2).matches("0*") || match.group(3).matches("0*")) {
            return null;
        }
        return new TraceContext(match.group(2), match.group(3), (Integer.parseInt(match.group(4), 16) & 1) == 1);
    }
}
