package dev.polyphon.engine.sample.grammar;

import java.util.ArrayList;
import java.util.List;
import java.util.function.IntPredicate;

/**
 * Reads regular expressions: what ECMAScript, Java and Python have in common, without what is not regular (back references, assertions about what stands
 * around). Quantifiers may be lazy, which changes nothing about what matches as a whole.
 */
final class Regex {
    private static final Expr ANYTHING = Expr.any(new Expr.Chars(CharSet.ALL));
    private static final CharSet LINE_ENDS = CharSet.of("\n\r\u2028\u2029");
    private static final CharSet DIGIT = CharSet.of('0', '9');
    private static final CharSet WORD = DIGIT.or(CharSet.of('a', 'z')).or(CharSet.of('A', 'Z')).or(CharSet.of('_'));
    private static final CharSet SPACE = CharSet.of(" \t\n\r\f\u000b");
    private static final int MOST_REPEATS = 10_000;
    private static final int MAX_DEPTH = 200;

    private final String pattern;
    private final boolean search;
    private int at;
    private int depth;
    private boolean foldCase;
    private boolean dotAll;

    private Regex(String pattern, boolean search) {
        this.pattern = pattern;
        this.search = search;
    }

    /** Text that the pattern matches from its beginning to its end. */
    static Expr whole(String pattern) {
        return new Regex(pattern, false).read();
    }

    /** Text in which the pattern matches somewhere, as JSON Schema has it. */
    static Expr within(String pattern) {
        return new Regex(pattern, true).read();
    }

    private Expr read() {
        flags();
        Expr all = alternatives();
        if (at < pattern.length()) {
            throw error("a parenthesis that closes nothing");
        }
        return all;
    }

    private void flags() {
        while (pattern.startsWith("(?", at) && at + 2 < pattern.length() && "is".indexOf(pattern.charAt(at + 2)) >= 0) {
            int end = pattern.indexOf(')', at);
            String flags = end < 0 ? "" : pattern.substring(at + 2, end);
            if (!flags.matches("[is]+")) {
                throw error("flags other than i and s for the whole pattern");
            }
            foldCase |= flags.contains("i");
            dotAll |= flags.contains("s");
            at = end + 1;
        }
    }

    private Expr alternatives() {
        if (++depth > MAX_DEPTH) {
            throw error("more than " + MAX_DEPTH + " levels of parentheses");
        }
        var options = new ArrayList<Expr>();
        do {
            options.add(sequence());
        } while (take('|'));
        depth--;
        return Expr.alt(options.toArray(Expr[]::new));
    }

    private Expr sequence() {
        var parts = new ArrayList<Expr>();
        boolean outermost = depth == 1;
        if (outermost && !take('^') && search) {
            parts.add(ANYTHING);
        }
        boolean ended = false;
        while (at < pattern.length() && pattern.charAt(at) != '|' && pattern.charAt(at) != ')') {
            if (outermost && pattern.charAt(at) == '$' && (at + 1 == pattern.length() || pattern.charAt(at + 1) == '|')) {
                at++;
                ended = true;
            } else {
                parts.add(quantified(atom()));
            }
        }
        if (outermost && search && !ended) {
            parts.add(ANYTHING);
        }
        return Expr.seq(parts.toArray(Expr[]::new));
    }

    private Expr quantified(Expr atom) {
        Expr result = atom;
        while (at < pattern.length()) {
            char c = pattern.charAt(at);
            if (c == '*' || c == '+' || c == '?') {
                at++;
                result = c == '*' ? Expr.any(result) : c == '+' ? Expr.some(result) : Expr.optional(result);
            } else if (c == '{') {
                result = counted(result);
            } else {
                break;
            }
            if (take('+')) {
                throw error("a possessive quantifier");
            }
            take('?');
        }
        return result;
    }

    private Expr counted(Expr body) {
        int end = pattern.indexOf('}', at);
        String counts = end < 0 ? "" : pattern.substring(at + 1, end);
        if (!counts.matches("\\d{1,6}(,\\d{0,6})?")) {
            throw error("a brace that begins no repetition; write \\{ for the character");
        }
        at = end + 1;
        int comma = counts.indexOf(',');
        int min = Integer.parseInt(comma < 0 ? counts : counts.substring(0, comma));
        int max = comma < 0 ? min : comma + 1 == counts.length() ? -1 : Integer.parseInt(counts.substring(comma + 1));
        if (Math.max(min, max) > MOST_REPEATS) {
            throw error("more than " + MOST_REPEATS + " repetitions");
        }
        return new Expr.Repeat(body, min, max);
    }

    private Expr atom() {
        int c = next();
        return switch (c) {
            case '(' -> group();
            case '[' -> new Expr.Chars(fold(characterClass()));
            case '.' -> new Expr.Chars(dotAll ? CharSet.ALL : LINE_ENDS.not());
            case '\\' -> new Expr.Chars(fold(escape(false)));
            case '^', '$' -> throw error("an anchor that is not at the beginning or the end");
            case '*', '+', '?' -> throw error("a quantifier that follows nothing");
            default -> new Expr.Chars(fold(CharSet.of(c)));
        };
    }

    private CharSet fold(CharSet set) {
        return foldCase ? set.foldCase() : set;
    }

    private Expr group() {
        if (take('?')) {
            if (pattern.startsWith("P<", at) || pattern.startsWith("<", at) && !pattern.startsWith("<=", at) && !pattern.startsWith("<!", at)) {
                int end = pattern.indexOf('>', at);
                if (end < 0) {
                    throw error("a group whose name does not end");
                }
                at = end + 1;
            } else if (!take(':')) {
                throw error("a group of the kind (?" + (at < pattern.length() ? pattern.charAt(at) : ' ') + " , which is not supported");
            }
        }
        Expr body = alternatives();
        if (!take(')')) {
            throw error("a parenthesis that is not closed");
        }
        return body;
    }

    private CharSet characterClass() {
        boolean not = take('^');
        CharSet set = CharSet.NONE;
        boolean first = true;
        while (first || at >= pattern.length() || pattern.charAt(at) != ']') {
            first = false;
            CharSet from = member();
            boolean range = at + 1 < pattern.length() && pattern.charAt(at) == '-' && pattern.charAt(at + 1) != ']';
            if (!range) {
                set = set.or(from);
                continue;
            }
            at++;
            CharSet to = member();
            int low = single(from);
            int high = single(to);
            if (low > high) {
                throw error("a range that ends before it begins");
            }
            set = set.or(CharSet.of(low, high));
        }
        at++;
        CharSet folded = fold(set);
        return not ? folded.not() : folded;
    }

    private CharSet member() {
        int c = next();
        if (c == '[' && at < pattern.length() && pattern.charAt(at) == ':' || c == '&' && at < pattern.length() && pattern.charAt(at) == '&') {
            throw error("a class within a class, which is not supported");
        }
        return c == '\\' ? escape(true) : CharSet.of(c);
    }

    private int single(CharSet set) {
        if (set.bounds().length != 2 || set.bounds()[0] != set.bounds()[1]) {
            throw error("a range whose end is a class");
        }
        return set.bounds()[0];
    }

    private CharSet escape(boolean inClass) {
        int c = next();
        return switch (c) {
            case 'd' -> DIGIT;
            case 'D' -> DIGIT.not();
            case 'w' -> WORD;
            case 'W' -> WORD.not();
            case 's' -> SPACE;
            case 'S' -> SPACE.not();
            case 't' -> CharSet.of('\t');
            case 'n' -> CharSet.of('\n');
            case 'r' -> CharSet.of('\r');
            case 'f' -> CharSet.of('\f');
            case 'v' -> CharSet.of('\u000b');
            case 'x' -> CharSet.of(hex(2));
            case 'u' -> CharSet.of(take('{') ? braced() : hex(4));
            case 'p', 'P' -> property(c == 'P');
            case 'b' -> {
                if (!inClass) {
                    throw error("a word boundary, which is not supported");
                }
                yield CharSet.of('\b');
            }
            default -> {
                if (c < 0x80 && Character.isLetterOrDigit(c)) {
                    throw error("the escape \\" + Character.toString(c) + ", which is not supported");
                }
                yield CharSet.of(c);
            }
        };
    }

    private CharSet property(boolean not) {
        int end = take('{') ? pattern.indexOf('}', at) : -1;
        if (end < 0) {
            throw error("a property without braces");
        }
        String name = pattern.substring(at, end);
        at = end + 1;
        IntPredicate test = switch (name) {
            case "L", "Letter" -> Character::isLetter;
            case "Lu", "Uppercase_Letter" -> c -> Character.getType(c) == Character.UPPERCASE_LETTER;
            case "Ll", "Lowercase_Letter" -> c -> Character.getType(c) == Character.LOWERCASE_LETTER;
            case "N", "Number" -> c -> Character.getType(c) == Character.DECIMAL_DIGIT_NUMBER || Character.getType(c) == Character.LETTER_NUMBER
                    || Character.getType(c) == Character.OTHER_NUMBER;
            case "Nd", "Decimal_Number" -> Character::isDigit;
            case "Zs", "Space_Separator" -> c -> Character.getType(c) == Character.SPACE_SEPARATOR;
            default -> throw error("the property " + name + ", which is not supported: L, Lu, Ll, N, Nd and Zs are");
        };
        CharSet set = CharSet.where(test);
        return not ? set.not() : set;
    }

    private int braced() {
        int end = pattern.indexOf('}', at);
        String digits = end < 0 ? "" : pattern.substring(at, end);
        if (!digits.matches("[0-9a-fA-F]{1,6}")) {
            throw error("an escape \\u{...} that is no character");
        }
        at = end + 1;
        return Integer.parseInt(digits, 16);
    }

    private int hex(int digits) {
        int end = at + digits;
        if (end > pattern.length() || !pattern.substring(at, end).matches("[0-9a-fA-F]+")) {
            throw error("an escape that lacks hexadecimal digits");
        }
        int value = Integer.parseInt(pattern.substring(at, end), 16);
        at = end;
        if (Character.isHighSurrogate((char) value) && digits == 4 && pattern.startsWith("\\u", at)) {
            at += 2;
            return Character.toCodePoint((char) value, (char) hex(4));
        }
        return value;
    }

    private boolean take(char c) {
        if (at < pattern.length() && pattern.charAt(at) == c) {
            at++;
            return true;
        }
        return false;
    }

    private int next() {
        if (at >= pattern.length()) {
            throw error("an end where a character is missing");
        }
        int c = pattern.codePointAt(at);
        at += Character.charCount(c);
        return c;
    }

    private GrammarException error(String found) {
        return new GrammarException("the regular expression has " + found + ", at character " + at);
    }
}
