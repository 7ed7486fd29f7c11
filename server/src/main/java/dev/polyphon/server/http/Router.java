package dev.polyphon.server.http;

import io.netty.handler.codec.http.QueryStringDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/** Finds the handler for a path and method; answers 404 for unknown paths and 405 with {@code Allow} for other methods. */
public final class Router implements Handler {
    private record Route(String pattern, String[] segments, Map<String, Handler> methods) {}

    /** A route and the values of its pattern's names. */
    private record Match(Route route, Map<String, String> parameters) {}

    private final ErrorFormat errors;
    private final Filter filter;
    private final Map<String, Route> exact = new HashMap<>();
    private final Map<String, Route> templates = new TreeMap<>();
    private final Set<String> streams = new HashSet<>();
    private final Set<String> open = new HashSet<>();
    private final TreeMap<String, Route> prefixes = new TreeMap<>();

    public Router(ErrorFormat errors) {
        this(errors, Filter.NONE);
    }

    /** @param filter stands before every handler */
    public Router(ErrorFormat errors, Filter filter) {
        this.errors = errors;
        this.filter = filter;
    }

    public Router get(String pattern, Handler handler) {
        return on("GET", pattern, handler);
    }

    public Router post(String pattern, Handler handler) {
        return on("POST", pattern, handler);
    }

    /**
     * Adds a route. An exact path goes before one with names, and that before one with an open end.
     *
     * @param pattern a path; a segment <code>{name}</code> in it matches any one segment, whose decoded text is the exchange's parameter of
     *     that name; one that ends in {@code /*} matches every path that goes on behind the slash
     */
    public Router on(String method, String pattern, Handler handler) {
        boolean open = pattern.endsWith("/*");
        var routes = open ? prefixes : pattern.contains("{") ? templates : exact;
        String key = open ? pattern.substring(0, pattern.length() - 1) : pattern;
        routes.computeIfAbsent(key, _ -> new Route(pattern, pattern.split("/", -1), new TreeMap<>())).methods.put(method, handler);
        return this;
    }

    /** Every route as {@code METHOD pattern}. */
    public List<String> routes() {
        var all = new ArrayList<String>();
        for (var routes : List.of(exact, templates, prefixes)) {
            routes.values().forEach(route -> route.methods.keySet().forEach(method -> all.add(method + " " + route.pattern)));
        }
        return all;
    }

    /** Adds a route whose requests go on while they are answered. */
    public Router open(String method, String pattern, Handler handler) {
        open.add(method + " " + pattern);
        return stream(method, pattern, handler);
    }

    /** Adds a route whose handler takes the body as it comes. */
    public Router stream(String method, String pattern, Handler handler) {
        streams.add(method + " " + pattern);
        return on(method, pattern, handler);
    }

    @Override
    public boolean streams(Request head) {
        return isOneOf(streams, head);
    }

    @Override
    public boolean openEnded(Request head) {
        return isOneOf(open, head);
    }

    private boolean isOneOf(Set<String> routes, Request head) {
        Match match = routes.isEmpty() ? null : find(head.path(), head.rawPath());
        return match != null && routes.contains(head.method() + " " + match.route.pattern);
    }

    @Override
    public void handle(Exchange exchange) {
        Request request = exchange.request();
        Match match = find(request.path(), request.rawPath());
        if (match == null) {
            exchange.respond(errors.error(404, "Unknown request URL: " + request.method() + " " + request.path()
                    + ". There is no such path on this server."));
            return;
        }
        Route route = match.route;
        exchange.routed(route.pattern, match.parameters);
        Handler handler = route.methods.get(request.method().equals("HEAD") ? "GET" : request.method());
        if (handler == null) {
            String allow = allowed(route);
            exchange.respond(errors.error(405, "Method " + request.method() + " is not allowed on " + request.path() + ". Allowed: " + allow + ".")
                    .with("Allow", allow));
            return;
        }
        filter.handle(exchange, () -> handler.handle(exchange));
    }

    private Match find(String path, String rawPath) {
        Route route = exact.get(path);
        if (route != null) {
            return new Match(route, Map.of());
        }
        String[] segments = rawPath.split("/", -1);
        for (Route template : templates.values()) {
            var parameters = matched(template.segments, segments);
            if (parameters != null) {
                return new Match(template, parameters);
            }
        }
        for (var prefix : prefixes.descendingMap().entrySet()) {
            if (path.startsWith(prefix.getKey()) && path.length() > prefix.getKey().length()) {
                return new Match(prefix.getValue(), Map.of());
            }
        }
        return null;
    }

    /** The values of the names in a pattern, or null when the path is another. */
    private static Map<String, String> matched(String[] pattern, String[] path) {
        if (pattern.length != path.length) {
            return null;
        }
        for (int i = 0; i < pattern.length; i++) {
            if (isName(pattern[i]) ? path[i].isEmpty() : !pattern[i].equals(path[i])) {
                return null;
            }
        }
        var values = new HashMap<String, String>();
        for (int i = 0; i < pattern.length; i++) {
            if (isName(pattern[i])) {
                values.put(pattern[i].substring(1, pattern[i].length() - 1), decoded(path[i]));
            }
        }
        return values;
    }

    private static boolean isName(String segment) {
        return segment.startsWith("{");
    }

    /** The whole path was decoded before without an error; a plus sign is itself in a path. */
    private static String decoded(String segment) {
        return QueryStringDecoder.decodeComponent(segment.replace("+", "%2B"), StandardCharsets.UTF_8);
    }

    private static String allowed(Route route) {
        var methods = new TreeSet<>(route.methods.keySet());
        if (methods.contains("GET")) {
            methods.add("HEAD");
        }
        return String.join(", ", methods);
    }
}
