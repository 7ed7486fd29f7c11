package dev.polyphon.engine.pool.source;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.URI;
import java.time.Instant;
import java.util.Map;
import org.junit.jupiter.api.Test;

class SignatureV4Test {

    /** The example of a GET in Amazon's documentation of the signature. */
    @Test
    void signsAsInTheDocumentation() {
        var store = new SourceOptions.S3(null, "us-east-1", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", null, false);
        var headers = SignatureV4.headers("GET", URI.create("https://examplebucket.s3.amazonaws.com/test.txt"), Map.of("range", "bytes=0-9"), store,
                Instant.parse("2013-05-24T00:00:00Z"));
        assertThat(headers).containsEntry("x-amz-date", "20130524T000000Z");
        assertThat(headers.get("authorization")).isEqualTo("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
                + "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    }

    @Test
    void encodesKeys() {
        assertThat(SignatureV4.encoded("a b/c+d(é)~.x")).isEqualTo("a%20b/c%2Bd%28%C3%A9%29~.x");
    }
}
