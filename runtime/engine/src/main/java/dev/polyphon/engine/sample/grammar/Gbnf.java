package dev.polyphon.engine.sample.grammar;

import java.util.ArrayList;
import java.util.List;

/** Reads grammars in GBNF, llama.cpp's notation: {@code name ::= expression}, beginning at the rule {@code root}. */
final class Gbnf {
    private static final int MAX_DEPTH = 200;
    private static final int MOST_REPEATS = 10_000;

    private final String text;
    private final RuleSet rules = new RuleSet();
    private int at;
    private int depth;

    private Gbnf(String text) {
        this.text = text;
    }

    static RuleSet read(String text) {
        return new Gbnf(text).read();
    }

    private RuleSet read() {
        space(true);
        while (at < text.length()) {
            String name = name();
            space(false);
            if (!text.startsWith("::=", at)) {
                throw error("expected ::= behind the name '" + name + "'");
            }
            at += 3;
            space(true);
            if (rules.has(name)) {
                throw error("the rule '" + name + "' is defined twice");
            }
            rules.define(name, alternatives());
            space(true);
        }
        if (!rules.has("root")) {
            throw new GrammarException("the grammar has no rule 'root' to begin with");
        }
        rules.root(new Expr.Ref("root"));
        return rules;
    }

    private Expr alternatives() {
        if (++depth > MAX_DEPTH) {
            throw error("more than " + MAX_DEPTH + " levels of parentheses");
        }
        var options = new ArrayList<Expr>();
        options.add(sequence());
        space(depth > 1);
        while (bar()) {
            space(true);
            options.add(sequence());
            space(depth > 1);
        }
        depth--;
        return Expr.alt(options.toArray(Expr[]::new));
    }

    /** A bar may stand at the beginning of the next line. */
    private boolean bar() {
        int before = at;
        space(true);
        if (peek() == '|') {
            at++;
            return true;
        }
        at = before;
        return false;
    }

    private Expr sequence() {
        List<Expr> parts = new ArrayList<>();
        while (true) {
            space(depth > 1);
            int c = peek();
            Expr item;
            if (c == '"') {
                item = literal();
            } else if (c == '[') {
                item = characters();
            } else if (c == '.') {
                at++;
                item = new Expr.Chars(CharSet.ALL);
            } else if (c == '(') {
                at++;
                space(true);
                item = alternatives();
                space(true);
                if (peek() != ')') {
                    throw error("a parenthesis is not closed");
                }
                at++;
            } else if (isName(c)) {
                item = new Expr.Ref(name());
            } else {
                return Expr.seq(parts.toArray(Expr[]::new));
            }
            parts.add(quantified(item));
        }
    }

    private Expr quantified(Expr item) {
        Expr result = item;
        while (true) {
            switch (peek()) {
                case '*' -> result = Expr.any(result);
                case '+' -> result = Expr.some(result);
                case '?' -> result = Expr.optional(result);
                case '{' -> {
                    result = counted(result);
                    continue;
                }
                default -> {
                    return result;
                }
            }
            at++;
        }
    }

    private Expr counted(Expr body) {
        int end = text.indexOf('}', at);
        String counts = end < 0 ? "" : text.substring(at + 1, end).replaceAll("\\s", "");
        if (!counts.matches("\\d{1,6}(,\\d{0,6})?|,\\d{1,6}")) {
            throw error("a repetition is {n}, {n,}, {,m} or {n,m}");
        }
        at = end + 1;
        int comma = counts.indexOf(',');
        int min = comma == 0 ? 0 : Integer.parseInt(comma < 0 ? counts : counts.substring(0, comma));
        int max = comma < 0 ? min : comma + 1 == counts.length() ? -1 : Integer.parseInt(counts.substring(comma + 1));
        if (Math.max(min, max) > MOST_REPEATS) {
            throw error("more than " + MOST_REPEATS + " repetitions");
        }
        return new Expr.Repeat(body, min, max);
    }

    private Expr literal() {
        at++;
        var characters = new StringBuilder();
        while (peek() != '"') {
            characters.appendCodePoint(character());
        }
        at++;
        return Expr.text(characters.toString());
    }

    private Expr characters() {
        at++;
        boolean not = peek() == '^';
        if (not) {
            at++;
        }
        CharSet set = CharSet.NONE;
        while (peek() != ']') {
            int from = character();
            int to = from;
            if (peek() == '-' && at + 1 < text.length() && text.charAt(at + 1) != ']') {
                at++;
                to = character();
            }
            if (to < from) {
                throw error("a range ends before it begins");
            }
            set = set.or(CharSet.of(from, to));
        }
        at++;
        return new Expr.Chars(not ? set.not() : set);
    }

    private int character() {
        if (at >= text.length()) {
            throw error("the text ends within a literal or class");
        }
        int c = text.codePointAt(at);
        at += Character.charCount(c);
        if (c != '\\') {
            if (c == '\n') {
                throw error("a line ends within a literal or class");
            }
            return c;
        }
        int escaped = peek();
        at++;
        return switch (escaped) {
            case 'n' -> '\n';
            case 'r' -> '\r';
            case 't' -> '\t';
            case 'x' -> hex(2);
            case 'u' -> hex(4);
            case 'U' -> hex(8);
            case '\\', '"', '[', ']', '-', '^', '\'', '/' -> escaped;
            default -> throw error("the escape \\" + (escaped < 0 ? "" : Character.toString(escaped)) + " is not known");
        };
    }

    private int hex(int digits) {
        String found = text.substring(at, Math.min(text.length(), at + digits));
        if (!found.matches("[0-9a-fA-F]{" + digits + "}") || Long.parseLong(found, 16) > Character.MAX_CODE_POINT) {
            throw error("an escape needs " + digits + " hexadecimal digits of a character");
        }
        at += digits;
        return Integer.parseInt(found, 16);
    }

    private String name() {
        int start = at;
        while (isName(peek())) {
            at++;
        }
        if (start == at) {
            throw error("expected the name of a rule");
        }
        return text.substring(start, at);
    }

    private static boolean isName(int c) {
        return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_';
    }

    private int peek() {
        return at < text.length() ? text.charAt(at) : -1;
    }

    /** Skips blanks and comments. */
    private void space(boolean lines) {
        while (at < text.length()) {
            char c = text.charAt(at);
            if (c == '#') {
                int end = text.indexOf('\n', at);
                at = end < 0 ? text.length() : end;
            } else if (c == ' ' || c == '\t' || lines && (c == '\n' || c == '\r')) {
                at++;
            } else {
                return;
            }
        }
    }

    private GrammarException error(String what) {
        long line = 1 + text.substring(0, Math.min(at, text.length())).chars().filter(c -> c == '\n').count();
        return new GrammarException("the grammar is wrong in line " + line + ": " + what);
    }
}
