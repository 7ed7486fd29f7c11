package dev.polyphon.server.config;

import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/**
 * Where adapters come from, and what they may take on their way to the model.
 *
 * @param store folder that keeps what is registered, uploaded and fetched; null to forget it at the end
 * @param diskBytes bytes that uploads and copies may take there
 * @param hostBytes bytes of files kept in this machine's memory
 * @param eviction which adapters give way first where the model computes: cost-aware, lfu or lru
 * @param longestWait a request waits for its adapter so long at most
 * @param turnTime after how long without room for its adapter a request has adapters in use take no new requests
 * @param uploadBytes bytes that an upload may have
 * @param fileBytes bytes that a file from a hub or from S3 may have
 * @param stallTime one that comes too slowly for so long is broken off
 * @param leastRate bytes a second below which it is too slow
 * @param hub null for none
 * @param hubToken null for none
 * @param s3 null for none
 */
public record AdapterStorage(
        Path store, long diskBytes, long hostBytes, String eviction, Duration longestWait, Duration turnTime, long uploadBytes, long fileBytes, Duration stallTime, long leastRate, URI hub, String hubToken, S3 s3) {

    /**
     * @param endpoint null for Amazon's of the region
     * @param accessKey null to ask without a signature
     * @param sessionToken of temporary credentials, or null
     * @param pathStyle whether the bucket is the path's first part, and not of the host's name
     */
    public record S3(URI endpoint, String region, String accessKey, String secretKey, String sessionToken, boolean pathStyle) {
        @Override
        public String toString() {
            return (endpoint == null ? "AWS" : endpoint) + " in " + region;
        }
    }

    /** Without secrets. */
    @Override
    public String toString() {
        return "adapters in " + store + ", from " + hub + " and " + s3;
    }

    static AdapterStorage read(Section adapters, Section hub, Section s3) {
        String store = adapters.text("store", "");
        String hubToken = hub.textOr("token", "HF_TOKEN");
        return new AdapterStorage(
                store.isEmpty() ? null : Path.of(store),
                adapters.bytes("diskBytes", 16L << 30, 0, 1L << 50),
                adapters.bytes("hostBytes", 256 << 20, 0, 1L << 50),
                adapters.oneOf("eviction", "cost-aware", List.of("cost-aware", "lfu", "lru")),
                adapters.duration("longestWait", Duration.ofMinutes(1), Duration.ofMillis(1), Duration.ofHours(1)),
                adapters.duration("turnTime", Duration.ofSeconds(2), Duration.ZERO, Duration.ofHours(1)),
                adapters.bytes("uploadBytes", 1 << 30, 1 << 10, 1L << 50),
                adapters.bytes("fileBytes", 4L << 30, 1 << 10, 1L << 50),
                adapters.duration("stallTime", Duration.ofSeconds(30), Duration.ofMillis(100), Duration.ofHours(1)),
                adapters.bytes("leastRate", 1 << 10, 0, 1L << 40),
                hub.address("endpoint", hub.text("endpoint", "https://huggingface.co")),
                hubToken,
                s3(s3));
    }

    private static S3 s3(Section s3) {
        URI endpoint = s3.address("endpoint", s3.text("endpoint", ""));
        String region = s3.textOr("region", "AWS_REGION");
        String accessKey = s3.textOr("accessKey", "AWS_ACCESS_KEY_ID");
        String secretKey = s3.textOr("secretKey", "AWS_SECRET_ACCESS_KEY");
        String sessionToken = s3.textOr("sessionToken", "AWS_SESSION_TOKEN");
        boolean pathStyle = s3.flag("pathStyle", true);
        if ((accessKey == null) != (secretKey == null)) {
            throw new ConfigException("s3.accessKey and s3.secretKey go together");
        }
        return endpoint == null && region == null ? null : new S3(endpoint, region == null ? "us-east-1" : region, accessKey, secretKey, sessionToken, pathStyle);
    }
}
