package dev.polyphon.server.tenant;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.KeySourceException;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.jwk.source.RateLimitReachedException;
import com.nimbusds.jose.proc.BadJOSEException;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.util.DefaultResourceRetriever;
import com.nimbusds.jose.util.JSONObjectUtils;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import dev.polyphon.server.tenant.Denied.Reason;
import java.io.IOException;
import java.net.URI;
import java.net.URL;
import java.text.ParseException;
import java.time.Duration;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Checks tokens of an OpenID issuer (RFC 7519, and RFC 8725 for what to beware of): signed by one of its current keys with one of the algorithms that are
 * allowed here, whatever the token says; for this server; and within its time. The keys are fetched when they are first needed, kept, and fetched again
 * for a key that is not among them, though not more often than every few seconds. May wait for the issuer: not for event loops.
 */
final class JwtVerifier {
    private static final Logger LOG = LoggerFactory.getLogger(JwtVerifier.class);
    private static final int TIMEOUT_MILLIS = 2000;
    private static final int LARGEST_ANSWER = 256 << 10;
    private static final int LONGEST_SUBJECT = 100;
    private static final long KEYS_LIVE_MILLIS = Duration.ofMinutes(15).toMillis();
    private static final long APART_MILLIS = 10_000;
    private static final long OUTAGE_MILLIS = Duration.ofHours(4).toMillis();

    private final JwtSettings settings;
    private final Tenants tenants;
    private final DefaultResourceRetriever http = new DefaultResourceRetriever(TIMEOUT_MILLIS, TIMEOUT_MILLIS, LARGEST_ANSWER);
    private volatile DefaultJWTProcessor<SecurityContext> processor;

    JwtVerifier(JwtSettings settings, Tenants tenants) {
        this.settings = settings;
        this.tenants = tenants;
    }

    /** Whether a text looks like a token, and not like a key. */
    static boolean looksLikeOne(String text) {
        return text.startsWith("eyJ") && text.chars().filter(c -> c == '.').count() == 2;
    }

    /** Whose token this is; throws {@link Denied} for one that does not open. */
    Caller authenticate(String token) {
        try {
            JWTClaimsSet claims = processor().process(token, null);
            String tenant = claims.getStringClaim(settings.tenantClaim());
            if (tenant == null) {
                throw new Denied(Reason.FORBIDDEN, "The token names no tenant: it has no claim '" + settings.tenantClaim() + "'.");
            }
            return tenants.caller(tenant, role(claims), "jwt:" + subject(claims));
        } catch (RateLimitReachedException e) {
            throw new Denied(Reason.BAD_KEY, "The token is not valid: it is signed with a key that the issuer did not have a moment ago.");
        } catch (KeySourceException | IOException e) {
            LOG.warn("the keys of {} cannot be had: {}", settings.issuer(), e.getMessage());
            throw new Denied(Reason.UNAVAILABLE, "Tokens cannot be checked at the moment: the issuer's keys cannot be had.", Duration.ofSeconds(5));
        } catch (ParseException | BadJOSEException | JOSEException e) {
            throw new Denied(Reason.BAD_KEY, "The token is not valid: " + e.getMessage());
        }
    }

    private Role role(JWTClaimsSet claims) throws ParseException {
        String named = settings.roleClaim().isEmpty() ? null : claims.getStringClaim(settings.roleClaim());
        return named == null ? Role.TENANT : Stream.of(Role.values()).filter(role -> role.text().equals(named)).findFirst()
                .orElseThrow(() -> new Denied(Reason.FORBIDDEN, "The token's claim '" + settings.roleClaim() + "' names no role: it must be tenant, monitor or operator."));
    }

    private static String subject(JWTClaimsSet claims) {
        String subject = claims.getSubject().replaceAll("[^\\x21-\\x7e]", "?");
        return subject.length() > LONGEST_SUBJECT ? subject.substring(0, LONGEST_SUBJECT) : subject;
    }

    private DefaultJWTProcessor<SecurityContext> processor() throws IOException {
        DefaultJWTProcessor<SecurityContext> ready = processor;
        if (ready == null) {
            ready = processor(keysAddress());
            processor = ready;
        }
        return ready;
    }

    private DefaultJWTProcessor<SecurityContext> processor(URL keys) {
        JWKSource<SecurityContext> source = JWKSourceBuilder.<SecurityContext>create(keys, http)
                .rateLimited(APART_MILLIS).cache(KEYS_LIVE_MILLIS, 2L * TIMEOUT_MILLIS).outageTolerant(OUTAGE_MILLIS).build();
        Set<JWSAlgorithm> algorithms = settings.algorithms().stream().map(JWSAlgorithm::parse).collect(Collectors.toSet());
        var claims = new DefaultJWTClaimsVerifier<>(Set.of(settings.audience()), new JWTClaimsSet.Builder().issuer(settings.issuer()).build(), Set.of("exp", "sub"), null);
        claims.setMaxClockSkew((int) settings.skew().toSeconds());
        var made = new DefaultJWTProcessor<SecurityContext>();
        // RFC 9068 calls access tokens at+jwt; others say JWT, or nothing.
        made.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(JOSEObjectType.JWT, new JOSEObjectType("at+jwt"), null));
        made.setJWSKeySelector(new JWSVerificationKeySelector<>(algorithms, source));
        made.setJWTClaimsSetVerifier(claims);
        return made;
    }

    /** OpenID Connect Discovery 1.0, section 4. */
    private URL keysAddress() throws IOException {
        if (!settings.jwks().isEmpty()) {
            return URI.create(settings.jwks()).toURL();
        }
        URL address = URI.create(settings.issuer().replaceFirst("/$", "") + "/.well-known/openid-configuration").toURL();
        try {
            var configuration = JSONObjectUtils.parse(http.retrieveResource(address).getContent());
            if (!settings.issuer().equals(configuration.get("issuer"))) {
                throw new IOException(address + " is the configuration of another issuer, " + configuration.get("issuer"));
            }
            URI keys = JSONObjectUtils.getURI(configuration, "jwks_uri");
            if (keys == null) {
                throw new IOException(address + " names no jwks_uri");
            }
            return keys.toURL();
        } catch (ParseException | IllegalArgumentException e) {
            throw new IOException(address + " is no OpenID configuration: " + e.getMessage(), e);
        }
    }
}
