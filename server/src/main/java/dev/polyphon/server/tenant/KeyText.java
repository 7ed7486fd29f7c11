package dev.polyphon.server.tenant;

import java.security.SecureRandom;
import java.util.Base64;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * A key as a client sends it: {@code pk_ID_SECRET}. The mark at its beginning lets scanners find keys where none should be.
 *
 * @param id 12 characters, to look it up by
 * @param secret 43 characters, 256 random bits
 */
record KeyText(String id, String secret) {
    private static final Pattern FORM = Pattern.compile("pk_([a-z0-9]{12})_([A-Za-z0-9_-]{43})");
    private static final String ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789";
    private static final SecureRandom RANDOM = new SecureRandom();

    static KeyText fresh() {
        var id = new StringBuilder(12);
        RANDOM.ints(12, 0, ALPHABET.length()).forEach(i -> id.append(ALPHABET.charAt(i)));
        byte[] secret = new byte[32];
        RANDOM.nextBytes(secret);
        return new KeyText(id.toString(), Base64.getUrlEncoder().withoutPadding().encodeToString(secret));
    }

    static Optional<KeyText> parse(String text) {
        var match = FORM.matcher(text);
        return match.matches() ? Optional.of(new KeyText(match.group(1), match.group(2))) : Optional.empty();
    }

    String text() {
        return "pk_" + id + "_" + secret;
    }

    /** Without the secret, wherever it may end up. */
    @Override
    public String toString() {
        return "pk_" + id + "_...";
    }
}
