package dev.polyphon.server.tenant;

import java.time.Duration;
import java.util.Set;

/**
 * Whose tokens are taken in the place of API keys.
 *
 * @param issuer what a token's {@code iss} must be; empty to take none
 * @param jwks address of the issuer's keys, a URL; empty for what its OpenID configuration names
 * @param audience what must be among a token's {@code aud}
 * @param algorithms of signatures that are taken, all of them with public keys
 * @param tenantClaim the claim that names the tenant
 * @param roleClaim the claim that names the role; empty when all are tenants
 * @param skew how far the issuer's clock may be from this one
 */
public record JwtSettings(
        String issuer, String jwks, String audience, Set<String> algorithms, String tenantClaim, String roleClaim, Duration skew) {
    public JwtSettings {
        algorithms = Set.copyOf(algorithms);
    }

    boolean enabled() {
        return !issuer.isEmpty();
    }
}
