package dev.polyphon.server.tenant;

import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Filter;
import dev.polyphon.server.http.Response;
import dev.polyphon.server.tenant.Denied.Reason;
import java.util.function.BiFunction;
import java.util.function.Consumer;

/**
 * Stands before the routes: finds out who asks, whether that one may, and whether it is not too much. What it finds it leaves with the exchange, for
 * {@link Caller#of}.
 *
 * <p>A key, or a token of an OpenID issuer, comes as {@code Authorization: Bearer KEY}, or as {@code X-API-Key} or {@code api-key}.
 */
final class Gate implements Filter {
    private static final String BEARER = "bearer ";

    private final Tenants tenants;
    private final JwtVerifier tokens;
    private final boolean openMetrics;
    private final BiFunction<Exchange, Denied, Response> errors;
    private final Consumer<AuditEntry> audit;

    /**
     * @param tokens checks tokens that come in the place of a key; null where none is taken
     * @param openMetrics whether anyone may read the metrics
     * @param errors says no in the words of the route's protocol
     * @param audit hears what operators do
     */
    Gate(Tenants tenants, JwtVerifier tokens, boolean openMetrics, BiFunction<Exchange, Denied, Response> errors, Consumer<AuditEntry> audit) {
        this.tenants = tenants;
        this.tokens = tokens;
        this.openMetrics = openMetrics;
        this.errors = errors;
        this.audit = audit;
    }

    @Override
    public void handle(Exchange exchange, Runnable next) {
        Access access = Access.of(exchange);
        if (access == Access.OPEN || access == Access.MONITOR && openMetrics) {
            next.run();
            return;
        }
        try {
            String key = key(exchange);
            if (tokens != null && JwtVerifier.looksLikeOne(key)) {
                exchange.offload(() -> verify(exchange, access, key, next));
                return;
            }
            admit(exchange, access, tenants.authenticate(key));
        } catch (Denied denied) {
            exchange.respond(errors.apply(exchange, denied));
            return;
        }
        next.run();
    }

    /** Checks a token, which may wait for its issuer, and goes on on the event loop. */
    private void verify(Exchange exchange, Access access, String token, Runnable next) {
        try {
            Caller caller = tokens.authenticate(token);
            exchange.execute(() -> {
                if (!exchange.waiting()) {
                    // The client has left meanwhile, and nothing would tell when it is to be let out again.
                    return;
                }
                try {
                    admit(exchange, access, caller);
                } catch (Denied denied) {
                    exchange.respond(errors.apply(exchange, denied));
                    return;
                }
                next.run();
            });
        } catch (Denied denied) {
            exchange.respond(errors.apply(exchange, denied));
        }
    }

    private void admit(Exchange exchange, Access access, Caller caller) {
        exchange.caller(caller);
        exchange.note("tenant", caller.tenantName());
        exchange.note("key", caller.key());
        if (access == Access.OPERATOR && !exchange.request().method().equals("GET")) {
            exchange.onEnd(() -> audit.accept(new AuditEntry(tenants.now(), caller.tenantName(), caller.key(), String.valueOf(exchange.request().remote()),
                    exchange.request().line(), exchange.status())));
        }
        if (!caller.role().opens(access.role())) {
            throw new Denied(Reason.FORBIDDEN, "The key " + caller.key() + " has the role '" + caller.role().text() + "', and this needs the role '"
                    + access.role().text() + "'.");
        }
        Account account = caller.account();
        if (exchange.connectionOwner() != account) {
            try {
                account.connect();
            } catch (Denied denied) {
                exchange.closeAfter();
                throw denied;
            }
            exchange.connectionOwner(account, account::disconnect);
        }
        if (access == Access.METERED) {
            exchange.beforeAnswer(() -> account.headers(exchange::header));
            account.enter();
            exchange.onEnd(account::leave);
        }
    }

    private static String key(Exchange exchange) {
        String authorization = exchange.request().header("Authorization");
        if (authorization != null) {
            if (!authorization.regionMatches(true, 0, BEARER, 0, BEARER.length())) {
                throw new Denied(Reason.NO_KEY, "The header 'Authorization' must be 'Bearer' and an API key.");
            }
            return authorization.substring(BEARER.length()).strip();
        }
        String key = exchange.request().header("X-API-Key");
        if (key == null) {
            key = exchange.request().header("api-key");
        }
        if (key == null) {
            throw new Denied(Reason.NO_KEY, "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
                    + "(i.e. Authorization: Bearer YOUR_KEY).");
        }
        return key.strip();
    }
}
