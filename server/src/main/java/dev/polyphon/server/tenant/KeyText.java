package dev.polyphon.server.tenant;

import java.security.SecureRandom;
import java.util.Base64;
import java.util.Locale;
import java.util.Optional;

/**
 * A key as a client sends it: {@code pk_ID_SECRET}. The mark at its beginning lets scanners find keys where none should be.
 *
 * @param id 12 characters, to look it up by
 * @param secret 43 characters, 256 random bits
 */
record KeyText(String id, String secret) {
    private static final String MARK = "pk_";
    private static final int ID = 12;
    private static final int SECRET = 43;
    private static final String ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789";
    private static final boolean[] OF_ID = characters(ALPHABET);
    /** The underscore parts it from the id, too. */
    private static final boolean[] OF_SECRET = characters(ALPHABET + ALPHABET.toUpperCase(Locale.ROOT) + "_-");
    private static final SecureRandom RANDOM = new SecureRandom();

    private static boolean[] characters(String which) {
        var among = new boolean[128];
        which.chars().forEach(c -> among[c] = true);
        return among;
    }

    static KeyText fresh() {
        var id = new StringBuilder(12);
        RANDOM.ints(12, 0, ALPHABET.length()).forEach(i -> id.append(ALPHABET.charAt(i)));
        byte[] secret = new byte[32];
        RANDOM.nextBytes(secret);
        return new KeyText(id.toString(), Base64.getUrlEncoder().withoutPadding().encodeToString(secret));
    }

    static Optional<KeyText> parse(String text) {
        int secret = MARK.length() + ID + 1;
        if (text.length() != secret + SECRET || !text.startsWith(MARK) || text.charAt(secret - 1) != '_') {
            return Optional.empty();
        }
        for (int i = MARK.length(); i < text.length(); i++) {
            char c = text.charAt(i);
            if (c >= OF_ID.length || !(i < secret - 1 ? OF_ID : OF_SECRET)[c]) {
                return Optional.empty();
            }
        }
        return Optional.of(new KeyText(text.substring(MARK.length(), secret - 1), text.substring(secret)));
    }

    String text() {
        return MARK + id + "_" + secret;
    }

    /** Without the secret, wherever it may end up. */
    @Override
    public String toString() {
        return MARK + id + "_...";
    }
}
