package dev.polyphon.engine.sample.grammar;

import java.util.LinkedHashMap;
import java.util.Map;

/** Named expressions, and the one that the whole text must match. Being built by one thread. */
final class RuleSet {
    private final Map<String, Expr> rules = new LinkedHashMap<>();
    private Expr root;

    static RuleSet of(Expr root) {
        var rules = new RuleSet();
        rules.root = root;
        return rules;
    }

    boolean has(String name) {
        return rules.containsKey(name);
    }

    /** Defines a rule and gives a reference to it. */
    Expr.Ref define(String name, Expr body) {
        rules.put(name, body);
        return new Expr.Ref(name);
    }

    Map<String, Expr> rules() {
        return rules;
    }

    Expr root() {
        return root;
    }

    void root(Expr expression) {
        root = expression;
    }
}
