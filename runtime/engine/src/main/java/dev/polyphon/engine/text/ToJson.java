package dev.polyphon.engine.text;

import com.fasterxml.jackson.core.io.JsonStringEncoder;
import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.lib.filter.AdvancedFilter;
import java.util.Collection;
import java.util.Iterator;
import java.util.Map;

/** The filter {@code tojson} as the transformers library has it: Python's {@code json.dumps(value, ensure_ascii=False, indent=indent)}, spaces included. */
final class ToJson implements AdvancedFilter {
    private static final int MOST_INDENT = 100;

    @Override
    public String getName() {
        return "tojson";
    }

    @Override
    public Object filter(Object value, JinjavaInterpreter interpreter, Object[] args, Map<String, Object> named) {
        Object indent = args.length > 0 ? args[0] : named.get("indent");
        var out = new StringBuilder();
        write(value, indent instanceof Number n ? Math.clamp(n.longValue(), -1, MOST_INDENT) : -1, 0, out);
        return out.toString();
    }

    private static void write(Object value, int indent, int depth, StringBuilder out) {
        if (out.length() > TemplateLimits.CHARACTERS) {
            throw TemplateLimits.tooLong();
        }
        switch (value) {
            case null -> out.append("null");
            case Map<?, ?> map -> list(map.entrySet(), '{', '}', indent, depth, out);
            case Collection<?> list -> list(list, '[', ']', indent, depth, out);
            case Map.Entry<?, ?> entry -> {
                write(String.valueOf(entry.getKey()), indent, depth, out);
                out.append(": ");
                write(entry.getValue(), indent, depth, out);
            }
            case Number n -> out.append(n);
            case Boolean b -> out.append(b);
            default -> out.append('"').append(JsonStringEncoder.getInstance().quoteAsString(value.toString())).append('"');
        }
    }

    private static void list(Collection<?> items, char open, char close, int indent, int depth, StringBuilder out) {
        out.append(open);
        for (Iterator<?> i = items.iterator(); i.hasNext(); ) {
            line(indent, depth + 1, out);
            write(i.next(), indent, depth + 1, out);
            if (i.hasNext()) {
                out.append(indent >= 0 ? "," : ", ");
            }
        }
        if (!items.isEmpty()) {
            line(indent, depth, out);
        }
        out.append(close);
    }

    private static void line(int indent, int depth, StringBuilder out) {
        if (indent >= 0) {
            out.append('\n').repeat(" ", indent * depth);
        }
    }
}
