package dev.polyphon.server.http;

import io.netty.util.AsciiString;
import java.util.HexFormat;
import java.util.concurrent.ThreadLocalRandom;

/** What a request is called in its answer's header and in the logs: what its client calls it or, failing that, a name of its own. */
final class RequestId {
    static final AsciiString HEADER = AsciiString.cached("X-Request-Id");

    /** Longest that is taken from a client, in characters. */
    private static final int LONGEST = 128;

    private RequestId() {}

    /** @param given the client's name for it, or null; one that is too long, or has other characters than names usually have, is not taken */
    static String of(String given) {
        return given != null && isSane(given) ? given : fresh();
    }

    static String fresh() {
        var random = ThreadLocalRandom.current();
        var hex = HexFormat.of();
        return "req-" + hex.toHexDigits(random.nextLong()) + hex.toHexDigits(random.nextLong());
    }

    private static boolean isSane(String given) {
        if (given.isEmpty() || given.length() > LONGEST) {
            return false;
        }
        for (int i = 0; i < given.length(); i++) {
            char c = given.charAt(i);
            boolean letterOrDigit = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9';
            if (!letterOrDigit && "-._~:/+=@".indexOf(c) < 0) {
                return false;
            }
        }
        return true;
    }
}
