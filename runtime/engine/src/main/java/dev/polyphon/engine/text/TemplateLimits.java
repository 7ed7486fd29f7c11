package dev.polyphon.engine.text;

import com.hubspot.jinjava.JinjavaConfig;
import com.hubspot.jinjava.el.TypeConvertingMapELResolver;
import com.hubspot.jinjava.el.ext.JinjavaListELResolver;
import com.hubspot.jinjava.interpret.Context;
import com.hubspot.jinjava.interpret.Context.Library;
import com.hubspot.jinjava.interpret.JinjavaInterpreter;
import com.hubspot.jinjava.lib.filter.AdvancedFilter;
import com.hubspot.jinjava.lib.filter.Filter;
import com.hubspot.jinjava.tree.Node;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import jinjava.javax.el.ArrayELResolver;
import jinjava.javax.el.CompositeELResolver;

/**
 * What holds a template to its work: it is a program that comes with a model's file. It sees messages, tools and texts by {@link TemplateObjects} and nothing
 * else, includes no files, and ends: in time, and with lists, strings and an output of bounded size.
 */
final class TemplateLimits {
    /** Of the output, and of any string on the way. */
    static final int CHARACTERS = 4 << 20;

    private static final Duration TIME = Duration.ofSeconds(5);
    private static final int ITEMS = 100_000;
    private static final int DEPTH = 20;

    /** Numbers that say how much a filter makes, and formats with such. */
    private static final int LARGEST = 10_000;
    private static final Pattern LARGE_FORMAT = Pattern.compile("\\d{5,}");
    private static final List<String> MAKERS = List.of("batch", "center", "format", "indent", "round", "slice", "wordwrap");

    /** Jinjava's own, which Jinja lacks: they read templates and YAML from text, and files. */
    private static final Map<Library, Set<String>> DISABLED =
            Map.of(Library.FILTER, Set.of("render", "fromyaml", "fromjson", "toyaml"), Library.TAG, Set.of("include", "extends", "import", "from"));

    private static final ScopedValue<Long> DEADLINE = ScopedValue.newInstance();

    private TemplateLimits() {}

    static JinjavaConfig.Builder configure(JinjavaConfig.Builder builder) {
        var objects = new CompositeELResolver();
        Stream.of(new ArrayELResolver(true), new JinjavaListELResolver(true), new TypeConvertingMapELResolver(true), new TemplateObjects()).forEach(objects::add);
        return builder.withElResolver(objects).withDisabled(DISABLED).withNodePreProcessor(TemplateLimits::check).withMaxOutputSize(CHARACTERS)
                .withMaxStringLength(CHARACTERS).withMaxListSize(ITEMS).withMaxMapSize(ITEMS).withMaxRenderDepth(DEPTH);
    }

    /** Puts limits to the filters that make as much as a number says. */
    static void bound(Context context) {
        MAKERS.forEach(name -> context.registerFilter(new Bounded(context.getFilter(name))));
        context.registerFilter(new Replace());
    }

    /** Runs what renders, and has it end in time. */
    static <T> T within(ScopedValue.CallableOp<T, RuntimeException> render) {
        return ScopedValue.where(DEADLINE, System.nanoTime() + TIME.toNanos()).call(render);
    }

    /** Before every part of the template, each time it comes to it. */
    private static void check(Node node, JinjavaInterpreter interpreter) {
        if (System.nanoTime() - DEADLINE.get() > 0) {
            throw new TemplateException("the model's chat template takes longer than " + TIME.toSeconds() + " s");
        }
    }

    static TemplateException tooLong() {
        return new TemplateException("the model's chat template makes a text of more than " + CHARACTERS + " characters");
    }

    /** Refuses arguments that are too large. */
    private record Bounded(Filter filter) implements AdvancedFilter {
        @Override
        public String getName() {
            return filter.getName();
        }

        @Override
        public Object filter(Object value, JinjavaInterpreter interpreter, Object[] args, Map<String, Object> named) {
            Stream.concat(Stream.of(value), Stream.concat(Stream.of(args), named.values().stream())).forEach(argument -> {
                boolean large = argument instanceof Number number && argument != value ? Math.abs(number.doubleValue()) > LARGEST
                        : argument instanceof CharSequence text && (argument != value || getName().equals("format")) && LARGE_FORMAT.matcher(text).find();
                if (large) {
                    throw new TemplateException("the model's chat template gives the filter '" + getName() + "' more than " + LARGEST);
                }
            });
            return filter.filter(value, interpreter, args, named);
        }
    }

    /** The filter {@code replace(part, by, count)}. */
    private static final class Replace implements AdvancedFilter {
        @Override
        public String getName() {
            return "replace";
        }

        @Override
        public Object filter(Object value, JinjavaInterpreter interpreter, Object[] args, Map<String, Object> named) {
            return value == null ? "" : PythonText.call(value.toString(), "replace", args);
        }
    }
}
