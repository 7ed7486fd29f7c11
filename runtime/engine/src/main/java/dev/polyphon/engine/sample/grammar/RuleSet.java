package dev.polyphon.engine.sample.grammar;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
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

    /** One after the other; their rules do not meet. */
    static RuleSet sequence(List<RuleSet> parts) {
        var all = new RuleSet();
        var roots = new ArrayList<Expr>();
        for (int i = 0; i < parts.size(); i++) {
            String prefix = i + " ";
            parts.get(i).rules.forEach((name, body) -> all.define(prefix + name, renamed(body, prefix)));
            roots.add(renamed(parts.get(i).root, prefix));
        }
        all.root = new Expr.Seq(roots);
        return all;
    }

    private static Expr renamed(Expr expr, String prefix) {
        return switch (expr) {
            case Expr.Chars chars -> chars;
            case Expr.Seq(List<Expr> inner) -> new Expr.Seq(inner.stream().map(part -> renamed(part, prefix)).toList());
            case Expr.Alt(List<Expr> inner) -> new Expr.Alt(inner.stream().map(option -> renamed(option, prefix)).toList());
            case Expr.Repeat(Expr body, int min, int max) -> new Expr.Repeat(renamed(body, prefix), min, max);
            case Expr.Ref(String rule) -> new Expr.Ref(prefix + rule);
        };
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
