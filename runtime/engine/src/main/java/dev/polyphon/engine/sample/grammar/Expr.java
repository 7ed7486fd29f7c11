package dev.polyphon.engine.sample.grammar;

import java.util.Arrays;
import java.util.List;

/** What texts look like: an expression over characters, with references to rules that are expressions themselves. */
sealed interface Expr {
    /** The empty text. */
    Expr EMPTY = new Seq(List.of());

    /** No text at all. */
    Expr NEVER = new Alt(List.of());

    /** One character of a set. */
    record Chars(CharSet set) implements Expr {}

    /** One after the other. */
    record Seq(List<Expr> parts) implements Expr {}

    /** Any one of them. */
    record Alt(List<Expr> options) implements Expr {}

    /** @param max -1 for no limit */
    record Repeat(Expr body, int min, int max) implements Expr {}

    /** What a rule says. */
    record Ref(String rule) implements Expr {}

    static Expr seq(Expr... parts) {
        return parts.length == 1 ? parts[0] : new Seq(Arrays.asList(parts));
    }

    static Expr alt(Expr... options) {
        return options.length == 1 ? options[0] : new Alt(Arrays.asList(options));
    }

    static Expr text(String text) {
        return new Seq(text.codePoints().mapToObj(c -> (Expr) new Chars(CharSet.of(c))).toList());
    }

    static Expr chars(String characters) {
        return new Chars(CharSet.of(characters));
    }

    static Expr range(int first, int last) {
        return new Chars(CharSet.of(first, last));
    }

    static Expr optional(Expr body) {
        return new Repeat(body, 0, 1);
    }

    static Expr any(Expr body) {
        return new Repeat(body, 0, -1);
    }

    static Expr some(Expr body) {
        return new Repeat(body, 1, -1);
    }

    static Expr times(Expr body, int count) {
        return new Repeat(body, count, count);
    }
}
