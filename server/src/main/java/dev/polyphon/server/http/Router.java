package dev.polyphon.server.http;

import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/** Finds the handler for a path and method; answers 404 for unknown paths and 405 with {@code Allow} for other methods. */
public final class Router implements Handler {
    private record Route(String pattern, Map<String, Handler> methods) {}

    private final ErrorFormat errors;
    private final Map<String, Route> exact = new HashMap<>();
    private final TreeMap<String, Route> prefixes = new TreeMap<>();

    public Router(ErrorFormat errors) {
        this.errors = errors;
    }

    public Router get(String pattern, Handler handler) {
        return on("GET", pattern, handler);
    }

    public Router post(String pattern, Handler handler) {
        return on("POST", pattern, handler);
    }

    /**
     * Adds a route.
     *
     * @param pattern a path; one that ends in {@code /*} matches every path that goes on behind the slash
     */
    public Router on(String method, String pattern, Handler handler) {
        var routes = pattern.endsWith("/*") ? prefixes : exact;
        String key = pattern.endsWith("/*") ? pattern.substring(0, pattern.length() - 1) : pattern;
        routes.computeIfAbsent(key, k -> new Route(pattern, new TreeMap<>())).methods.put(method, handler);
        return this;
    }

    @Override
    public void handle(Exchange exchange) {
        Request request = exchange.request();
        Route route = find(request.path());
        if (route == null) {
            exchange.respond(errors.error(404, "Unknown request URL: " + request.method() + " " + request.path()
                    + ". There is no such path on this server."));
            return;
        }
        exchange.route(route.pattern);
        Handler handler = route.methods.get(request.method().equals("HEAD") ? "GET" : request.method());
        if (handler == null) {
            String allow = allowed(route);
            exchange.respond(errors.error(405, "Method " + request.method() + " is not allowed on " + request.path() + ". Allowed: " + allow + ".")
                    .with("Allow", allow));
            return;
        }
        handler.handle(exchange);
    }

    private Route find(String path) {
        Route route = exact.get(path);
        if (route != null) {
            return route;
        }
        for (var prefix : prefixes.descendingMap().entrySet()) {
            if (path.startsWith(prefix.getKey()) && path.length() > prefix.getKey().length()) {
                return prefix.getValue();
            }
        }
        return null;
    }

    private static String allowed(Route route) {
        var methods = new TreeSet<>(route.methods.keySet());
        if (methods.contains("GET")) {
            methods.add("HEAD");
        }
        return String.join(", ", methods);
    }
}
