package dev.polyphon.engine.pool.source;

import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Signs requests without a body and without a query for S3, after <a
 * href="https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html">AWS Signature Version 4</a>.
 */
final class SignatureV4 {
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC);
    private static final String EMPTY = hex(sha256(""));

    private SignatureV4() {}

    /**
     * The headers to add.
     *
     * @param address its path as {@link #encoded} gives it
     * @param headers those that are sent already, with names in lower case
     */
    static Map<String, String> headers(String method, URI address, Map<String, String> headers, SourceOptions.S3 store, Instant now) {
        String time = TIME.format(now);
        Map<String, String> added = new TreeMap<>(Map.of("x-amz-date", time, "x-amz-content-sha256", EMPTY));
        if (store.sessionToken() != null) {
            added.put("x-amz-security-token", store.sessionToken());
        }
        Map<String, String> signed = new TreeMap<>(headers);
        signed.putAll(added);
        signed.put("host", address.getRawAuthority());
        String names = String.join(";", signed.keySet());
        String canonical = String.join("\n", method, address.getRawPath(), "",
                signed.entrySet().stream().map(header -> header.getKey() + ":" + header.getValue().strip() + "\n").collect(Collectors.joining()), names, EMPTY);
        String scope = time.substring(0, 8) + "/" + store.region() + "/s3/aws4_request";
        String toSign = String.join("\n", "AWS4-HMAC-SHA256", time, scope, hex(sha256(canonical)));
        byte[] key = ("AWS4" + store.secretKey()).getBytes(StandardCharsets.UTF_8);
        for (String part : scope.split("/")) {
            key = hmac(key, part);
        }
        added.put("authorization", "AWS4-HMAC-SHA256 Credential=" + store.accessKey() + "/" + scope + ",SignedHeaders=" + names + ",Signature="
                + hex(hmac(key, toSign)));
        return added;
    }

    /** A key as a path: all but unreserved characters and slashes are percent-encoded. */
    static String encoded(String key) {
        StringBuilder out = new StringBuilder();
        for (byte b : key.getBytes(StandardCharsets.UTF_8)) {
            char c = (char) (b & 0xff);
            boolean plain = c < 128 && (Character.isLetterOrDigit(c) || "-._~/".indexOf(c) >= 0);
            out.append(plain ? String.valueOf(c) : "%%%02X".formatted((int) c));
        }
        return out.toString();
    }

    private static byte[] sha256(String text) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    private static byte[] hmac(byte[] key, String text) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }
}
