package dev.polyphon.engine.sample.grammar;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * JSON texts (RFC 8259) as expressions. Between their parts stands a blank, a line end with an indentation, or nothing: unbounded white space would let a
 * model go on for ever without saying anything.
 */
final class JsonText {
    private static final int INDENTATION = 40;
    private static final CharSet PLAIN = CharSet.of(0x20, Character.MAX_CODE_POINT).minus(CharSet.of("\"\\"));

    static final Expr SPACE = Expr.optional(Expr.alt(Expr.text(" "), Expr.seq(Expr.text("\n"), new Expr.Repeat(Expr.chars(" \t"), 0, INDENTATION))));
    static final Expr QUOTE = Expr.text("\"");
    static final Expr DIGITS = Expr.any(Expr.range('0', '9'));
    static final Expr NATURAL = Expr.alt(Expr.text("0"), Expr.seq(Expr.range('1', '9'), DIGITS));
    static final Expr INTEGER = Expr.seq(Expr.optional(Expr.text("-")), NATURAL);
    static final Expr NUMBER = Expr.seq(INTEGER, Expr.optional(Expr.seq(Expr.text("."), Expr.some(Expr.range('0', '9')))),
            Expr.optional(Expr.seq(Expr.chars("eE"), Expr.optional(Expr.chars("+-")), new Expr.Repeat(Expr.range('0', '9'), 1, 3))));
    static final Expr BOOLEAN = Expr.alt(Expr.text("true"), Expr.text("false"));
    static final Expr NULL = Expr.text("null");

    private static final Expr HEX = new Expr.Chars(CharSet.of('0', '9').or(CharSet.of('a', 'f')).or(CharSet.of('A', 'F')));
    /** A unit of UTF-16 that is no half of a pair, or a pair. */
    private static final Expr UNICODE = Expr.alt(
            Expr.seq(new Expr.Chars(CharSet.of('0', '9').or(CharSet.of("abcefABCEF"))), HEX, HEX, HEX),
            Expr.seq(Expr.chars("dD"), Expr.range('0', '7'), HEX, HEX),
            Expr.seq(Expr.chars("dD"), Expr.chars("89abAB"), HEX, HEX, Expr.text("\\u"), Expr.chars("dD"), Expr.chars("cdefCDEF"), HEX, HEX));

    /** A character of a string, in any spelling. */
    static final Expr CHARACTER = Expr.alt(new Expr.Chars(PLAIN),
            Expr.seq(Expr.text("\\"), Expr.alt(Expr.chars("\"\\/bfnrt"), Expr.seq(Expr.text("u"), UNICODE))));
    static final Expr STRING = Expr.seq(QUOTE, Expr.any(CHARACTER), QUOTE);

    private JsonText() {}

    /** Defines the rules for any value and gives the reference to it. */
    static Expr value(RuleSet rules) {
        var value = new Expr.Ref("any value");
        if (!rules.has(value.rule())) {
            rules.define(value.rule(), Expr.alt(anyObject(value), list('[', value, ']'), STRING, NUMBER, BOOLEAN, NULL));
        }
        return value;
    }

    static Expr anyObject(Expr value) {
        return list('{', member(STRING, value), '}');
    }

    static Expr member(Expr key, Expr value) {
        return Expr.seq(key, SPACE, Expr.text(":"), SPACE, value);
    }

    /** Any number of items between brackets. */
    static Expr list(char open, Expr item, char close) {
        return bracketed(open, Expr.optional(Expr.seq(item, Expr.any(then(item)), SPACE)), close);
    }

    /** Another item behind one. */
    static Expr then(Expr item) {
        return Expr.seq(SPACE, Expr.text(","), SPACE, item);
    }

    static Expr bracketed(char open, Expr content, char close) {
        return Expr.seq(Expr.text(String.valueOf(open)), SPACE, content, Expr.text(String.valueOf(close)));
    }

    /** What is between the quotes of strings whose texts an expression describes; characters are escaped only where they must be. */
    static Expr escaped(Expr text) {
        return switch (text) {
            case Expr.Chars(CharSet set) -> escaped(set);
            case Expr.Seq(List<Expr> parts) -> new Expr.Seq(parts.stream().map(JsonText::escaped).toList());
            case Expr.Alt(List<Expr> options) -> new Expr.Alt(options.stream().map(JsonText::escaped).toList());
            case Expr.Repeat(Expr body, int min, int max) -> new Expr.Repeat(escaped(body), min, max);
            case Expr.Ref ref -> ref;
        };
    }

    private static Expr escaped(CharSet set) {
        var options = new ArrayList<Expr>();
        CharSet plain = set.and(PLAIN);
        if (!plain.isEmpty()) {
            options.add(new Expr.Chars(plain));
        }
        for (int c : new int[] {'"', '\\'}) {
            if (set.contains(c)) {
                options.add(Expr.text("\\" + (char) c));
            }
        }
        for (int c = 0; c < 0x20; c++) {
            if (set.contains(c)) {
                int named = "\b\f\n\r\t".indexOf(c);
                options.add(Expr.text(named >= 0 ? "\\" + "bfnrt".charAt(named) : String.format("\\u%04x", c)));
            }
        }
        return new Expr.Alt(options);
    }

    /** A string without escapes that is none of some. */
    static Expr stringBut(Collection<String> excluded) {
        return Expr.seq(QUOTE, but(excluded.stream().map(s -> s.codePoints().toArray()).toList(), 0), QUOTE);
    }

    /** Texts that differ from all of some, which agree up to a position. */
    private static Expr but(List<int[]> excluded, int at) {
        var byNext = new TreeMap<Integer, List<int[]>>();
        boolean endExcluded = false;
        for (int[] text : excluded) {
            if (text.length == at) {
                endExcluded = true;
            } else {
                byNext.computeIfAbsent(text[at], _ -> new ArrayList<>()).add(text);
            }
        }
        var options = new ArrayList<Expr>();
        if (!endExcluded) {
            options.add(Expr.EMPTY);
        }
        CharSet others = PLAIN;
        for (Map.Entry<Integer, List<int[]>> entry : byNext.entrySet()) {
            CharSet next = CharSet.of(entry.getKey()).and(PLAIN);
            if (!next.isEmpty()) {
                others = others.minus(next);
                options.add(Expr.seq(new Expr.Chars(next), but(entry.getValue(), at + 1)));
            }
        }
        options.add(Expr.seq(new Expr.Chars(others), Expr.any(new Expr.Chars(PLAIN))));
        return Expr.alt(options.toArray(Expr[]::new));
    }
}
