package dev.polyphon.server.http;

import java.util.Map;

/**
 * Lets scripts of pages from allowed origins use what stands behind it (the Fetch standard's CORS protocol): says so with each answer, and answers the
 * preflight requests that browsers send ahead, which carry no key. Keys are sent in headers, so that cookies and other credentials are not asked for.
 */
public final class Cors implements Handler {
    /** What a script may read beside the headers that it always may. */
    private static final String EXPOSED = "X-Request-Id, Retry-After, X-RateLimit-Limit-Requests, X-RateLimit-Limit-Tokens, X-RateLimit-Remaining-Requests, "
            + "X-RateLimit-Remaining-Tokens, X-RateLimit-Reset-Requests, X-RateLimit-Reset-Tokens";

    private final CorsSettings settings;
    private final Handler next;

    private Cors(CorsSettings settings, Handler next) {
        this.settings = settings;
        this.next = next;
    }

    /** The handler itself where no origin is allowed. */
    public static Handler before(Handler next, CorsSettings settings) {
        return settings.origins().isEmpty() ? next : new Cors(settings, next);
    }

    @Override
    public boolean streams(Request head) {
        return next.streams(head);
    }

    @Override
    public boolean openEnded(Request head) {
        return next.openEnded(head);
    }

    @Override
    public void handle(Exchange exchange) {
        Request request = exchange.request();
        String origin = request.header("Origin");
        if (origin == null) {
            next.handle(exchange);
            return;
        }
        boolean allowed = settings.allows(origin);
        String method = request.header("Access-Control-Request-Method");
        if (request.method().equals("OPTIONS") && method != null) {
            exchange.respond(preflight(allowed, origin, method, request.header("Access-Control-Request-Headers")));
            return;
        }
        if (allowed) {
            exchange.header("Access-Control-Allow-Origin", origin);
            exchange.header("Access-Control-Expose-Headers", EXPOSED);
        }
        // Another one's answer may differ, which is for caches to know.
        exchange.header("Vary", "Origin");
        next.handle(exchange);
    }

    private Response preflight(boolean allowed, String origin, String method, String headers) {
        Response answer = new Response(200, Response.TEXT, new byte[0], Map.of("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"));
        if (!allowed) {
            return answer;
        }
        answer = answer.with("Access-Control-Allow-Origin", origin).with("Access-Control-Allow-Methods", method)
                .with("Access-Control-Max-Age", Long.toString(settings.maxAge().toSeconds()));
        return headers == null ? answer : answer.with("Access-Control-Allow-Headers", headers);
    }
}
