package dev.polyphon.engine.text;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.function.IntPredicate;
import java.util.stream.Stream;

/** The methods of Python's strings that templates call. Positions count UTF-16 units, which differs from Python's outside of the first plane. */
final class PythonText {
    private final String text;
    private final String method;
    private final Object[] args;

    private PythonText(String text, String method, Object[] args) {
        this.text = text;
        this.method = method;
        this.args = args;
    }

    /** @throws TemplateException for a method that there is not, or arguments that it does not take */
    static Object call(String text, String method, Object... args) {
        return new PythonText(text, method, args).call();
    }

    private Object call() {
        return switch (method) {
            case "strip" -> strip(true, true);
            case "lstrip" -> strip(true, false);
            case "rstrip" -> strip(false, true);
            case "split" -> split(false);
            case "rsplit" -> split(true);
            case "splitlines" -> text.lines().toList();
            case "startswith" -> alternatives().anyMatch(text::startsWith);
            case "endswith" -> alternatives().anyMatch(text::endsWith);
            case "upper" -> text.toUpperCase(Locale.ROOT);
            case "lower" -> text.toLowerCase(Locale.ROOT);
            case "title" -> title();
            case "capitalize" -> text.isEmpty() ? text : text.substring(0, 1).toUpperCase(Locale.ROOT) + text.substring(1).toLowerCase(Locale.ROOT);
            case "replace" -> replace(text(0), text(1), number(2, -1));
            case "find" -> (long) text.indexOf(text(0), number(1, 0));
            case "rfind" -> (long) text.lastIndexOf(text(0));
            case "index" -> {
                if (!text.contains(text(0))) {
                    throw wrong("finds nothing");
                }
                yield (long) text.indexOf(text(0));
            }
            case "count" -> count();
            case "join" -> join();
            case "removeprefix" -> text.startsWith(text(0)) ? text.substring(text(0).length()) : text;
            case "removesuffix" -> text.endsWith(text(0)) ? text.substring(0, text.length() - text(0).length()) : text;
            case "isdigit", "isdecimal", "isnumeric" -> all(Character::isDigit);
            case "isalpha" -> all(Character::isLetter);
            case "isalnum" -> all(Character::isLetterOrDigit);
            case "isspace" -> all(PythonText::isSpace);
            case "isupper" -> !text.equals(text.toLowerCase(Locale.ROOT)) && text.equals(text.toUpperCase(Locale.ROOT));
            case "islower" -> !text.equals(text.toUpperCase(Locale.ROOT)) && text.equals(text.toLowerCase(Locale.ROOT));
            default -> throw new TemplateException("the chat template calls '" + method + "' of a string, which there is not");
        };
    }

    private TemplateException wrong(String what) {
        return new TemplateException("the chat template calls '" + method + "' of a string, which " + what);
    }

    private String text(int at) {
        if (at >= args.length || !(args[at] instanceof CharSequence)) {
            throw wrong("takes a string as argument " + (at + 1));
        }
        return args[at].toString();
    }

    private int number(int at, int otherwise) {
        if (at >= args.length || args[at] == null) {
            return otherwise;
        }
        if (!(args[at] instanceof Number number)) {
            throw wrong("takes a number as argument " + (at + 1));
        }
        return Math.clamp(number.longValue(), -1, Integer.MAX_VALUE);
    }

    private static boolean isSpace(int c) {
        return Character.isWhitespace(c) || Character.isSpaceChar(c) || c == 0x85;
    }

    private boolean all(IntPredicate is) {
        return !text.isEmpty() && text.codePoints().allMatch(is);
    }

    private String strip(boolean front, boolean back) {
        String chars = args.length == 0 || args[0] == null ? null : text(0);
        IntPredicate goes = chars == null ? PythonText::isSpace : c -> chars.indexOf(c) >= 0;
        int from = 0;
        int to = text.length();
        while (front && from < to && goes.test(text.charAt(from))) {
            from++;
        }
        while (back && from < to && goes.test(text.charAt(to - 1))) {
            to--;
        }
        return text.substring(from, to);
    }

    private Stream<String> alternatives() {
        if (args.length == 1 && args[0] instanceof List<?> several) {
            return several.stream().map(Objects::toString);
        }
        return Stream.of(text(0));
    }

    private List<String> split(boolean fromEnd) {
        int most = number(1, -1);
        boolean bySpace = args.length == 0 || args[0] == null;
        String separator = bySpace ? " " : text(0);
        if (separator.isEmpty()) {
            throw wrong("takes a separator that is not empty");
        }
        var parts = new ArrayList<String>();
        String rest = bySpace ? text.strip() : text;
        while (most < 0 || parts.size() < most) {
            int at = bySpace ? space(rest, fromEnd) : fromEnd ? rest.lastIndexOf(separator) : rest.indexOf(separator);
            if (at < 0) {
                break;
            }
            String before = rest.substring(0, at);
            String behind = rest.substring(at + separator.length());
            parts.add(fromEnd ? behind : before);
            rest = fromEnd ? before : behind;
            if (bySpace) {
                rest = fromEnd ? rest.stripTrailing() : rest.stripLeading();
            }
        }
        if (!bySpace || !rest.isEmpty()) {
            parts.add(rest);
        }
        return fromEnd ? parts.reversed() : parts;
    }

    private static int space(String text, boolean last) {
        for (int i = 0; i < text.length(); i++) {
            int at = last ? text.length() - 1 - i : i;
            if (Character.isWhitespace(text.charAt(at))) {
                return at;
            }
        }
        return -1;
    }

    private String title() {
        var out = new StringBuilder(text.length());
        boolean inWord = false;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            out.append(inWord ? Character.toLowerCase(c) : Character.toUpperCase(c));
            inWord = Character.isLetter(c);
        }
        return out.toString();
    }

    private long count() {
        String part = text(0);
        if (part.isEmpty()) {
            return text.length() + 1L;
        }
        long count = 0;
        for (int at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length())) {
            count++;
        }
        return count;
    }

    private String replace(String part, String by, int most) {
        var out = new StringBuilder();
        int from = 0;
        int left = most < 0 ? Integer.MAX_VALUE : most;
        while (left-- > 0) {
            int at = part.isEmpty() ? from : text.indexOf(part, from);
            if (at < 0) {
                break;
            }
            append(out, text.substring(from, at));
            append(out, by);
            from = at + part.length();
            if (part.isEmpty()) {
                if (from == text.length()) {
                    break;
                }
                out.append(text.charAt(from++));
            }
        }
        append(out, text.substring(Math.min(from, text.length())));
        return out.toString();
    }

    private String join() {
        if (args.length != 1 || !(args[0] instanceof Iterable<?> items)) {
            throw wrong("takes a list");
        }
        var out = new StringBuilder();
        String between = "";
        for (Object item : items) {
            append(out, between);
            append(out, String.valueOf(item));
            between = text;
        }
        return out.toString();
    }

    private static void append(StringBuilder out, String piece) {
        if (out.length() + (long) piece.length() > TemplateLimits.CHARACTERS) {
            throw TemplateLimits.tooLong();
        }
        out.append(piece);
    }
}
