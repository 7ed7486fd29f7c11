package dev.polyphon.engine.sample.grammar;

import java.util.Map;

/** The formats of strings (JSON Schema validation, section 7.3) that are held to; others say nothing. */
final class Formats {
    private static final String LEAP_DAY = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29";
    private static final String DATE = "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
            + "|02-(?:0[1-9]|1[0-9]|2[0-8]))|" + LEAP_DAY + ")";
    /** Not -00:00, by which RFC 3339 (section 4.3) means that the place is not known, and which some validators refuse. */
    private static final String OFFSET = "[+](?:0[0-9]|1[0-7]):[0-5][0-9]|-(?:0[1-9]|1[0-7]):[0-5][0-9]|-00:(?:0[1-9]|[1-5][0-9])";
    private static final String TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|" + OFFSET + ")";
    private static final String OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";

    private static final Map<String, String> PATTERNS = Map.of(
            "date", DATE,
            "time", TIME,
            "date-time", DATE + "T" + TIME,
            "uuid", "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
            "ipv4", OCTET + "(?:\\." + OCTET + "){3}",
            "email", "[A-Za-z0-9_+-]+(?:\\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
                    + "(?:\\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?)*\\.[A-Za-z]{2,20}");

    private Formats() {}

    /** What strings of a format look like; null for a format that says nothing. */
    static Expr of(String format) {
        String pattern = PATTERNS.get(format);
        return pattern == null ? null : Regex.whole(pattern);
    }
}
