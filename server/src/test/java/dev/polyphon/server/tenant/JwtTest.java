package dev.polyphon.server.tenant;

import static dev.polyphon.server.tenant.TenantServer.bearer;
import static dev.polyphon.server.Eventually.eventually;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSSigner;
import com.nimbusds.jose.crypto.MACSigner;
import com.nimbusds.jose.crypto.RSASSASigner;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.RSAKey;
import com.nimbusds.jose.jwk.gen.RSAKeyGenerator;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.PlainJWT;
import com.nimbusds.jwt.SignedJWT;
import com.sun.net.httpserver.HttpServer;
import dev.polyphon.server.RawClient;
import dev.polyphon.server.config.ConfigException;
import dev.polyphon.server.config.PolyphonConfig;
import dev.polyphon.server.config.Sources;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** Tokens of an issuer that listens on the loopback. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class JwtTest {
    private final AtomicInteger fetched = new AtomicInteger();
    private HttpServer issuer;
    private String url;
    private RSAKey key;
    private volatile JWKSet served;
    private TenantServer server;

    @BeforeAll
    void start(@TempDir Path store) throws IOException, JOSEException {
        key = new RSAKeyGenerator(2048).keyID("one").generate();
        served = new JWKSet(key.toPublicJWK());
        issuer = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        url = "http://127.0.0.1:" + issuer.getAddress().getPort();
        answer("/.well-known/openid-configuration", () -> "{\"issuer\": \"" + url + "\", \"jwks_uri\": \"" + url + "/keys\"}");
        answer("/keys", () -> {
            fetched.incrementAndGet();
            return served.toString();
        });
        issuer.start();
        server = new TenantServer(store, "jwt.issuer=" + url, "jwt.roleClaim=role", "jwt.skew=30s");
        server.tenant("acme", "\"limits\": {\"requests_per_minute\": 1000}");
    }

    private void answer(String path, Supplier<String> body) {
        issuer.createContext(path, exchange -> {
            byte[] bytes = body.get().getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(200, bytes.length);
            exchange.getResponseBody().write(bytes);
            exchange.close();
        });
    }

    @AfterAll
    void stop() {
        server.close();
        issuer.stop(0);
    }

    private static Date in(int seconds) {
        return new Date(System.currentTimeMillis() + 1000L * seconds);
    }

    private JWTClaimsSet claims(UnaryOperator<JWTClaimsSet.Builder> change) {
        return change.apply(new JWTClaimsSet.Builder().issuer(url).audience("polyphon").subject("robot 7").expirationTime(in(300)).claim("tenant", "acme")).build();
    }

    private String token(UnaryOperator<JWTClaimsSet.Builder> change) throws JOSEException {
        return signed(new JWSHeader.Builder(JWSAlgorithm.RS256).keyID("one").build(), new RSASSASigner(key), claims(change));
    }

    private static String signed(JWSHeader header, JWSSigner signer, JWTClaimsSet claims) throws JOSEException {
        var token = new SignedJWT(header, claims);
        token.sign(signer);
        return token.serialize();
    }

    private int status(String token) {
        return server.http.get("/v1/models", bearer(token)).status();
    }

    @Test
    void standsForItsTenantAndRole() throws JOSEException {
        var answer = server.complete(token(it -> it), "french", "x", 1);
        assertThat(answer.status()).as(answer.body()).isEqualTo(200);
        assertThat(answer.header("x-ratelimit-limit-requests")).isEqualTo("1000");
        assertThat(server.http.runtime.requests.getLast().tenant()).isEqualTo("acme");
        assertThat(server.http.get("/metrics", bearer(token(it -> it))).status()).isEqualTo(403);
        assertThat(server.http.get("/metrics", bearer(token(it -> it.claim("role", "monitor")))).status()).isEqualTo(200);
        assertThat(server.http.get("/admin/v1/tenants", bearer(token(it -> it.claim("role", "operator")))).status()).isEqualTo(200);
        assertThat(status(token(it -> it.claim("role", "king")))).isEqualTo(403);
        assertThat(status(token(it -> it.claim("tenant", "nobody")))).isEqualTo(403);
        assertThat(status(token(it -> it.claim("tenant", null)))).isEqualTo(403);
        assertThat(status(token(it -> it.claim("tenant", 7)))).isEqualTo(401);
    }

    @Test
    void refusesWhatIsNotMeantForItOrNotNow() throws JOSEException {
        assertThat(status(token(it -> it.expirationTime(in(-20))))).as("within the skew").isEqualTo(200);
        assertThat(status(token(it -> it.expirationTime(in(-40))))).isEqualTo(401);
        assertThat(status(token(it -> it.notBeforeTime(in(20))))).as("within the skew").isEqualTo(200);
        assertThat(status(token(it -> it.notBeforeTime(in(40))))).isEqualTo(401);
        assertThat(status(token(it -> it.expirationTime(null)))).isEqualTo(401);
        assertThat(status(token(it -> it.subject(null)))).isEqualTo(401);
        assertThat(status(token(it -> it.issuer("https://evil.example")))).isEqualTo(401);
        assertThat(status(token(it -> it.audience("another")))).isEqualTo(401);
    }

    /** RFC 8725, sections 2.1 and 3.1. */
    @Test
    void takesNoAlgorithmFromTheToken() throws JOSEException {
        JWTClaimsSet good = claims(it -> it);
        assertThat(status(new PlainJWT(good).serialize())).as("none").isEqualTo(401);
        byte[] publicKey = key.toRSAPublicKey().getEncoded();
        assertThat(status(signed(new JWSHeader.Builder(JWSAlgorithm.HS256).keyID("one").build(), new MACSigner(publicKey), good))).as("the public key as a secret").isEqualTo(401);
        assertThat(status(signed(new JWSHeader.Builder(JWSAlgorithm.RS512).keyID("one").build(), new RSASSASigner(key), good))).as("not allowed here").isEqualTo(401);
        RSAKey own = new RSAKeyGenerator(2048).keyID("one").generate();
        assertThat(status(signed(new JWSHeader.Builder(JWSAlgorithm.RS256).keyID("one").jwk(own.toPublicJWK()).build(), new RSASSASigner(own), good)))
                .as("a key in the token").isEqualTo(401);
        assertThat(status(signed(new JWSHeader.Builder(JWSAlgorithm.RS256).keyID("one").type(new JOSEObjectType("secevent+jwt")).build(), new RSASSASigner(key), good)))
                .as("another kind of token").isEqualTo(401);
        String valid = token(it -> it);
        assertThat(status(valid.substring(0, valid.lastIndexOf('.') + 1))).as("no signature").isEqualTo(401);
        assertThat(status("eyJhbGciOiJSUzI1NiJ9.e30.x")).isEqualTo(401);
    }

    @Test
    void fetchesKeysWhenTheIssuerHasNewOnes() throws JOSEException {
        assertThat(status(token(it -> it))).isEqualTo(200);
        int before = fetched.get();
        assertThat(status(token(it -> it))).isEqualTo(200);
        assertThat(fetched.get()).as("they are kept").isEqualTo(before);
        RSAKey next = new RSAKeyGenerator(2048).keyID("two").generate();
        served = new JWKSet(List.of(next.toPublicJWK(), key.toPublicJWK()));
        assertThat(status(signed(new JWSHeader.Builder(JWSAlgorithm.RS256).keyID("two").build(), new RSASSASigner(next), claims(it -> it)))).isEqualTo(200);
        int after = fetched.get();
        for (int i = 0; i < 5; i++) {
            assertThat(status(signed(new JWSHeader.Builder(JWSAlgorithm.RS256).keyID("made up " + i).build(), new RSASSASigner(next), claims(it -> it)))).isEqualTo(401);
        }
        assertThat(fetched.get() - after).as("fetches for keys that are made up").isLessThanOrEqualTo(2);
        assertThat(status(token(it -> it))).isEqualTo(200);
    }

    @Test
    void saysSoWhenTheIssuerIsDown(@TempDir Path folder) throws JOSEException {
        try (var lonely = new TenantServer(folder, "jwt.issuer=" + url, "jwt.jwks=http://127.0.0.1:1/keys")) {
            String own = lonely.tenant("acme", "");
            var answer = lonely.http.get("/v1/models", bearer(token(it -> it)));
            assertThat(answer.status()).isEqualTo(503);
            assertThat(answer.header("Retry-After")).isEqualTo("5");
            assertThat(lonely.http.get("/v1/models", bearer(own)).status()).as("keys go on to open").isEqualTo(200);
        }
    }

    @Test
    void aClientThatLeavesWhileItsTokenIsCheckedTakesNoPlace(@TempDir Path folder) throws Exception {
        var asked = new CountDownLatch(1);
        var goOn = new CountDownLatch(1);
        answer("/slow", () -> {
            asked.countDown();
            try {
                goOn.await(10, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            return served.toString();
        });
        try (var slow = new TenantServer(folder, "jwt.issuer=" + url, "jwt.jwks=" + url + "/slow")) {
            slow.tenant("acme", "\"limits\": {\"concurrent_requests\": 1, \"connections\": 1}");
            String token = token(it -> it);
            try (RawClient leaving = slow.http.raw()) {
                leaving.post(TenantServer.COMPLETIONS, "{\"model\": \"french\", \"prompt\": \"x\"}", "Authorization: Bearer " + token);
                assertThat(asked.await(10, TimeUnit.SECONDS)).isTrue();
            }
            Thread.sleep(50);
            goOn.countDown();
            eventually("the place is free", () -> slow.complete(token, "french", "x", 1).status() == 200);
            // A request has left when its answer has been sent, which its client may have read by then.
            eventually("nobody is inside", () -> slow.tenants.get("acme").running() == 0);
            assertThat(slow.http.runtime.requests).hasSize(1);
        }
    }

    @Test
    void settingsThatWouldNotBeSafeAreRefused() {
        assertThatThrownBy(() -> config("jwt.issuer", "http://issuer.example")).isInstanceOf(ConfigException.class).hasMessageContaining("https://");
        assertThatThrownBy(() -> config("jwt.algorithms", "[HS256]")).isInstanceOf(ConfigException.class).hasMessageContaining("a list of some of RS256");
        assertThatThrownBy(() -> config("jwt.algorithms", "[]")).isInstanceOf(ConfigException.class);
        config("jwt.issuer", "https://issuer.example");
    }

    private static void config(String key, String value) {
        PolyphonConfig.read(Sources.of(null, Map.of(), Map.of(key, value)));
    }
}
