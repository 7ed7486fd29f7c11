package dev.polyphon.engine.text;

import com.hubspot.jinjava.el.ext.JinjavaBeanELResolver;
import com.hubspot.jinjava.lib.exptest.ExpTest;
import com.hubspot.jinjava.lib.filter.Filter;
import com.hubspot.jinjava.objects.SafeString;
import com.hubspot.jinjava.objects.collections.PyList;
import com.hubspot.jinjava.objects.collections.PyMap;
import com.hubspot.jinjava.util.ForLoop;
import java.util.Map;
import java.util.Set;
import jinjava.javax.el.ELContext;

/**
 * What templates may call and look at, beside the items of lists and dicts: Python's methods of strings, lists and dicts, and the counters of loops. Nothing
 * else of Java's objects is there for them, whatever it is called.
 */
final class TemplateObjects extends JinjavaBeanELResolver {
    private static final Set<String> LIST = Set.of("append", "extend", "insert", "pop", "index", "count", "reverse", "copy");
    private static final Set<String> DICT = Set.of("items", "keys", "values", "get", "pop", "update");
    private static final Set<String> LOOP = Set.of("cycle");

    TemplateObjects() {
        super(true);
    }

    @Override
    public Object getValue(ELContext context, Object base, Object property) {
        if (base instanceof ForLoop || base instanceof Map.Entry) {
            return super.getValue(context, base, property);
        }
        // Undefined.
        context.setPropertyResolved(base != null);
        return null;
    }

    @Override
    public Object invoke(ELContext context, Object base, Object method, Class<?>[] types, Object[] args) {
        String name = String.valueOf(method);
        Object[] given = args == null ? new Object[0] : args;
        return switch (base) {
            case String text -> resolved(context, PythonText.call(text, name, given));
            case SafeString text -> resolved(context, PythonText.call(text.getValue(), name, given));
            case PyMap map when name.equals("pop") && given.length > 0 -> {
                Object value = map.remove(String.valueOf(given[0]));
                yield resolved(context, value == null && given.length > 1 ? given[1] : value);
            }
            case PyList _ when LIST.contains(name) -> super.invoke(context, base, method, types, given);
            case PyMap _ when DICT.contains(name) -> super.invoke(context, base, method, types, given);
            // Which Jinjava's parser makes of a filter or a test.
            case Filter _ when name.equals("filter") -> super.invoke(context, base, method, types, given);
            case ExpTest _ when name.startsWith("evaluate") -> super.invoke(context, base, method, types, given);
            case ForLoop _ when LOOP.contains(name) -> super.invoke(context, base, method, types, given);
            case null, default -> throw new TemplateException("the chat template calls '" + name + "' of " + kind(base) + ", which there is not");
        };
    }

    private static Object resolved(ELContext context, Object value) {
        context.setPropertyResolved(true);
        return value;
    }

    private static String kind(Object base) {
        return switch (base) {
            case PyList _ -> "a list";
            case PyMap _ -> "a dict";
            case Number _ -> "a number";
            case Boolean _ -> "a boolean";
            case null, default -> "something";
        };
    }
}
