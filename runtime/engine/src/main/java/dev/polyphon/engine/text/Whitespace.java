package dev.polyphon.engine.text;

/**
 * Resolves a Jinja template's whitespace control as Jinja does with {@code trim_blocks} and {@code lstrip_blocks}, which chat templates are written for:
 * what comes out has the same meaning where whitespace is kept as it stands. Comments are left out.
 */
final class Whitespace {
    private final String source;
    private final StringBuilder out = new StringBuilder();

    private Whitespace(String source) {
        this.source = source;
    }

    static String resolve(String source) {
        return new Whitespace(source).resolve();
    }

    private String resolve() {
        int at = 0;
        boolean trimsAll = false;
        boolean trimsLine = false;
        while (true) {
            int tag = nextTag(at);
            int start = at;
            if (trimsAll) {
                while (start < tag && Character.isWhitespace(source.charAt(start))) {
                    start++;
                }
            } else if (trimsLine && start < tag && source.charAt(start) == '\n') {
                start++;
            }
            if (tag == source.length()) {
                return out.append(source, start, tag).toString();
            }
            int end = end(tag);
            char kind = source.charAt(tag + 1);
            boolean minus = tag + 2 < end && source.charAt(tag + 2) == '-';
            boolean plus = tag + 2 < end && source.charAt(tag + 2) == '+';
            out.append(source, start, keptUntil(start, tag, minus, kind != '{' && !plus));
            boolean closed = end <= source.length() - 2;
            char last = closed && end > tag + 2 ? source.charAt(end - 1) : ' ';
            trimsAll = last == '-';
            trimsLine = kind != '{' && last != '+';
            at = closed ? end + 2 : source.length();
            if (kind != '#') {
                int from = minus || plus ? tag + 3 : tag + 2;
                int to = last == '-' || kind == '%' && last == '+' ? end - 1 : end;
                out.append('{').append(kind).append(source, Math.min(from, to), to).append(source, end, at);
            }
        }
    }

    /** Where the text before a tag ends that is kept. */
    private int keptUntil(int start, int tag, boolean all, boolean line) {
        int end = tag;
        if (all) {
            while (end > start && Character.isWhitespace(source.charAt(end - 1))) {
                end--;
            }
        } else if (line) {
            while (end > start && (source.charAt(end - 1) == ' ' || source.charAt(end - 1) == '\t')) {
                end--;
            }
            // Only what stands alone before a tag in its line.
            if (end > 0 && source.charAt(end - 1) != '\n') {
                end = tag;
            }
        }
        return end;
    }

    private int nextTag(int from) {
        for (int i = from; i + 1 < source.length(); i++) {
            if (source.charAt(i) == '{' && "{%#".indexOf(source.charAt(i + 1)) >= 0) {
                return i;
            }
        }
        return source.length();
    }

    /** Where the closing mark of the tag stands; the source's length if there is none. Marks within quotes close nothing. */
    private int end(int tag) {
        char kind = source.charAt(tag + 1);
        char close = kind == '{' ? '}' : kind;
        char quote = 0;
        int braces = 0;
        for (int i = tag + 2; i + 1 < source.length(); i++) {
            char c = source.charAt(i);
            if (kind == '#') {
                if (c == '#' && source.charAt(i + 1) == '}') {
                    return i;
                }
            } else if (quote != 0) {
                if (c == '\\') {
                    i++;
                } else if (c == quote) {
                    quote = 0;
                }
            } else if (c == '"' || c == '\'') {
                quote = c;
            } else if (c == '{') {
                braces++;
            } else if (braces > 0 && c == '}') {
                braces--;
            } else if (c == close && source.charAt(i + 1) == '}') {
                return i;
            }
        }
        return source.length();
    }
}
