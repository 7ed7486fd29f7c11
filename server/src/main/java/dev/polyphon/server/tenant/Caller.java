package dev.polyphon.server.tenant;

import dev.polyphon.runtime.AdapterId;
import java.time.Instant;

/**
 * Who sent a request.
 *
 * @param account the tenant's; null where nobody is asked who he is
 * @param key what names the one within the tenant: the key's id, or {@code jwt:} and the token's subject
 */
public record Caller(Account account, Role role, String key) {
    /** Anybody, on a server without tenants. */
    public static final Caller ANYONE = new Caller(null, Role.OPERATOR, "");

    private static final Tenant NOBODY = Tenant.named("default", Instant.EPOCH);

    /** The one that a {@link Gate} left with a request. */
    public static Caller of(Object left) {
        return left instanceof Caller caller ? caller : ANYONE;
    }

    public Tenant tenant() {
        return account == null ? NOBODY : account.tenant();
    }

    public String tenantName() {
        return tenant().name();
    }

    public boolean operator() {
        return role == Role.OPERATOR;
    }

    /** Who owns the adapters that it brings: the tenant, or everyone, when an operator does. */
    public String owner() {
        return operator() ? AdapterId.SHARED : tenantName();
    }

    /**
     * Counts one of several requests that came in one exchange, or throws {@link Denied}.
     *
     * @return to be run when that request is over
     */
    public Runnable enter() {
        if (account == null) {
            return () -> {};
        }
        account.enter();
        return account::leave;
    }

    /** Whether it may use a base model. */
    public boolean mayUse(String model) {
        return tenant().models().matches(model);
    }
}
