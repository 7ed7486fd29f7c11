package dev.polyphon.engine.pool.source;

import java.net.URI;
import java.time.Duration;

/**
 * Where adapters may be fetched from.
 *
 * @param hub a hub in the layout of Hugging Face's; null for none
 * @param s3 an S3-compatible store; null for none
 * @param connectLimit time to connect, and for the head of an answer
 * @param stallLimit a transfer is broken off when it was too slow for so long
 * @param leastRate bytes a second below which it is too slow
 * @param largestFile bytes that a file may have
 */
public record SourceOptions(Hub hub, S3 s3, Duration connectLimit, Duration stallLimit, long leastRate, long largestFile) {
    /** Folders and uploads alone. */
    public static final SourceOptions NONE = new SourceOptions(null, null, Duration.ofSeconds(10), Duration.ofSeconds(30), 1 << 10, 4L << 30);

    /**
     * @param token goes to the endpoint's own origin alone, and over a network only with TLS; null for none
     */
    public record Hub(URI endpoint, String token) {
        @Override
        public String toString() {
            return endpoint.toString();
        }
    }

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

    public SourceOptions withHub(Hub value) {
        return new SourceOptions(value, s3, connectLimit, stallLimit, leastRate, largestFile);
    }

    public SourceOptions withS3(S3 value) {
        return new SourceOptions(hub, value, connectLimit, stallLimit, leastRate, largestFile);
    }

    public SourceOptions withSlowest(Duration stall, long rate) {
        return new SourceOptions(hub, s3, connectLimit, stall, rate, largestFile);
    }

    public SourceOptions withLargestFile(long value) {
        return new SourceOptions(hub, s3, connectLimit, stallLimit, leastRate, value);
    }
}
