package dev.polyphon.server.tenant;

import java.time.Instant;

/**
 * A key as it is kept: never its secret, only that one's hash.
 *
 * @param id its public part, which logs and listings name it by
 * @param hash of its secret
 * @param label what it is for, in its owner's words
 * @param expires from when it is refused, or null
 * @param revoked since when it is refused, or null
 */
public record ApiKey(String id, String tenant, Role role, SecretHash hash, String label, Instant created, Instant expires, Instant revoked) {

    /** Active, expired or revoked. */
    public String state(Instant now) {
        return revoked != null ? "revoked" : expires != null && !now.isBefore(expires) ? "expired" : "active";
    }

    boolean active(Instant now) {
        return revoked == null && (expires == null || now.isBefore(expires));
    }

    ApiKey expiring(Instant when) {
        return new ApiKey(id, tenant, role, hash, label, created, when, revoked);
    }

    ApiKey revoked(Instant when) {
        return new ApiKey(id, tenant, role, hash, label, created, expires, when);
    }
}
