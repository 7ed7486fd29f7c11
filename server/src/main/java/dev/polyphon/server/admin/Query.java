package dev.polyphon.server.admin;

import dev.polyphon.server.http.Exchange;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/** The parameters of a request's query. What is not as it should be ends in an exception that names it. */
record Query(Map<String, List<String>> parameters) {
    private static final int PAGE = 100;
    private static final int LARGEST_PAGE = 1000;

    /** A query in which nothing unknown may be. */
    static Query of(Exchange exchange, Set<String> known) {
        for (String key : exchange.request().query().keySet()) {
            if (!known.contains(key)) {
                throw AdaptersAdmin.invalid(key, "There is no parameter '" + key + "'. There are: " + String.join(", ", new TreeSet<>(known)) + ".");
            }
        }
        return new Query(exchange.request().query());
    }

    List<String> all(String name) {
        return parameters.getOrDefault(name, List.of());
    }

    /** A parameter's only value, or null. */
    String one(String name) {
        List<String> values = all(name);
        if (values.size() > 1) {
            throw AdaptersAdmin.invalid(name, "'" + name + "' may be given once, found " + values.size() + ".");
        }
        return values.isEmpty() ? null : values.getFirst();
    }

    boolean flag(String name) {
        String text = one(name);
        if (text != null && !text.equals("true") && !text.equals("false")) {
            throw AdaptersAdmin.invalid(name, "'" + name + "' must be true or false, found '" + text + "'.");
        }
        return "true".equals(text);
    }

    /** Most entries of a page. */
    int limit() {
        String text = one("limit");
        if (text == null) {
            return PAGE;
        }
        if (!text.matches("[0-9]{1,6}") || Integer.parseInt(text) < 1 || Integer.parseInt(text) > LARGEST_PAGE) {
            throw AdaptersAdmin.invalid("limit", "'limit' must be 1 to " + LARGEST_PAGE + ", found '" + text + "'.");
        }
        return Integer.parseInt(text);
    }
}
