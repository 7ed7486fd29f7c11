package dev.polyphon.server.tenant;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * The SHA-256 of a key's secret. That is enough for secrets of 256 random bits, which no one can guess from their hash, and costs a request nothing; slow
 * hashes are for what people make up.
 */
public final class SecretHash {
    /** Ready for the next use after each. */
    private static final ThreadLocal<MessageDigest> SHA_256 = ThreadLocal.withInitial(SecretHash::sha256);

    private final byte[] hash;

    private SecretHash(byte[] hash) {
        this.hash = hash;
    }

    static SecretHash of(String secret) {
        return new SecretHash(digest(secret));
    }

    /** What {@link #hex} gave. */
    static SecretHash parse(String hex) {
        return new SecretHash(HexFormat.of().parseHex(hex));
    }

    String hex() {
        return HexFormat.of().formatHex(hash);
    }

    /** In a time that does not depend on where they differ. */
    boolean isOf(String secret) {
        return MessageDigest.isEqual(hash, digest(secret));
    }

    private static byte[] digest(String secret) {
        return SHA_256.get().digest(secret.getBytes(StandardCharsets.UTF_8));
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof SecretHash that && MessageDigest.isEqual(hash, that.hash);
    }

    @Override
    public int hashCode() {
        return hex().hashCode();
    }

    /** The hash, of which nothing can be told about the secret. */
    @Override
    public String toString() {
        return hex();
    }
}
