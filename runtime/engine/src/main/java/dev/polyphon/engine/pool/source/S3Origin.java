package dev.polyphon.engine.pool.source;

import dev.polyphon.runtime.AdapterSource;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Base64;
import java.util.HexFormat;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The objects under a prefix of a bucket, by S3's GetObject. The SHA-256 is that of the store where the object was written with one. */
final class S3Origin implements Origin {
    private static final Pattern CODE = Pattern.compile("<Code>([A-Za-z0-9]{1,100})</Code>");
    private static final int MOST_ERROR_BYTES = 8192;

    private final Transport transport;
    private final SourceOptions.S3 store;
    private final AdapterSource.S3 source;

    S3Origin(Transport transport, SourceOptions.S3 store, AdapterSource.S3 source) {
        this.transport = transport;
        this.store = store;
        this.source = source;
    }

    @Override
    public AdapterSource source() {
        return source;
    }

    @Override
    public Optional<Incoming> open(String name, long from, String tag) throws IOException, InterruptedException {
        URI address = address(name);
        Map<String, String> headers = new TreeMap<>(Map.of("x-amz-checksum-mode", "ENABLED"));
        if (from > 0 && tag != null) {
            headers.put("range", "bytes=" + from + "-");
            headers.put("if-match", tag);
        }
        if (store.accessKey() != null) {
            headers.putAll(SignatureV4.headers("GET", address, headers, store, Instant.now()));
        }
        HttpResponse<InputStream> response = transport.get(address, headers);
        switch (response.statusCode()) {
            case 200, 206 -> {
                return Optional.of(Transport.incoming(response, response.headers().firstValue("ETag").orElse(null), sha256(response)));
            }
            case 404 -> {
                response.body().close();
                return Optional.empty();
            }
            case 412, 416 -> {
                response.body().close();
                return open(name, 0, null);
            }
            default -> throw failure(response);
        }
    }

    private URI address(String name) {
        String path = SignatureV4.encoded(source.prefix() + "/" + name);
        if (store.endpoint() == null) {
            return URI.create(store.pathStyle() ? "https://s3." + store.region() + ".amazonaws.com/" + source.bucket() + "/" + path
                    : "https://" + source.bucket() + ".s3." + store.region() + ".amazonaws.com/" + path);
        }
        String endpoint = store.endpoint().toString().replaceAll("/+$", "");
        return URI.create(store.pathStyle() ? endpoint + "/" + source.bucket() + "/" + path : endpoint.replaceFirst("://", "://" + source.bucket() + ".") + "/" + path);
    }

    /** Of an object in parts the store has only a sum over the parts' sums, which is no use here. */
    private static String sha256(HttpResponse<?> response) {
        String sum = response.headers().firstValue("x-amz-checksum-sha256").orElse(null);
        if (sum == null || sum.contains("-")) {
            return null;
        }
        try {
            return HexFormat.of().formatHex(Base64.getDecoder().decode(sum));
        } catch (IllegalArgumentException e) {
            return null;
        }
    }

    private IOException failure(HttpResponse<InputStream> response) throws IOException {
        String answer = "the S3 store answers " + response.statusCode();
        try (InputStream body = response.body()) {
            Matcher code = CODE.matcher(new String(body.readNBytes(MOST_ERROR_BYTES), StandardCharsets.UTF_8));
            answer += code.find() ? " (" + code.group(1) + ")" : "";
        }
        String region = response.headers().firstValue("x-amz-bucket-region").orElse(store.region());
        if (!region.equals(store.region())) {
            return new IOException(answer + ": the bucket is in region " + region + ", not " + store.region());
        }
        return switch (response.statusCode()) {
            case 429, 500, 502, 503, 504 -> new BrokenTransferException(answer);
            case 401, 403 -> new IOException(answer + ": " + (store.accessKey() == null ? "the server has no key for it" : "the server's key does not give access"));
            default -> new IOException(answer);
        };
    }
}
