package dev.polyphon.engine.sample.grammar;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.SchemaValidatorsConfig;
import com.networknt.schema.SpecVersion;
import dev.polyphon.runtime.Grammar;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.regex.Pattern;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;

/** What is let through matches, by an engine or validator of others; and what matches is let through. */
class GrammarPropertyTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final JsonSchemaFactory VALIDATORS = JsonSchemaFactory.getInstance(SpecVersion.VersionFlag.V202012);
    private static final SchemaValidatorsConfig FORMATS = SchemaValidatorsConfig.builder().formatAssertionsEnabled(true).build();

    @Provide
    Arbitrary<String> patterns() {
        Arbitrary<String> atoms = Arbitraries.of("a", "b", "c", "[ab]", "[^a]", "\\d", ".", "ä", "日", "abc", "[^日]", "\\w", "\\.", "[a-c日-本]");
        return Arbitraries.recursive(() -> atoms, inner -> Arbitraries.oneOf(
                inner.list().ofMinSize(1).ofMaxSize(3).map(parts -> String.join("", parts)),
                inner.list().ofMinSize(2).ofMaxSize(3).map(parts -> "(" + String.join("|", parts) + ")"),
                inner.map(part -> "(?:" + part + ")*"), inner.map(part -> "(" + part + ")+"), inner.map(part -> "(?:" + part + ")?"),
                inner.map(part -> "(?:" + part + "){1,3}"), inner.map(part -> "(?:" + part + "){2}")), 0, 3);
    }

    @Property(tries = 150)
    void regularExpressionsAreThoseOfJava(@ForAll("patterns") String pattern, @ForAll Random random,
            @ForAll List<@net.jqwik.api.constraints.StringLength(max = 6) @net.jqwik.api.constraints.Chars({'a', 'b', 'c', 'ä', '日', '1', '.'}) String> texts) {
        var grammars = Walk.grammars();
        var grammar = new Grammar.Regex(pattern);
        Pattern java = Pattern.compile(pattern);
        if (java.matcher("").matches() && texts.stream().noneMatch(text -> java.matcher(text).matches())) {
            return;
        }
        for (String text : texts) {
            if (!text.isEmpty()) {
                assertThat(Walk.accepts(grammars, grammar, text, random)).as("%s on %s", pattern, text).isEqualTo(java.matcher(text).matches());
            }
        }
        for (int i = 0; i < 5; i++) {
            String output = Walk.random(grammars, grammar, random);
            if (output != null) {
                assertThat(output).matches(java);
            }
        }
    }

    /** A schema from what is supported, and a way to make values for it. */
    record Case(ObjectNode schema, java.util.function.Function<Random, JsonNode> values) {}

    private static Case schema(Random random, int depth) {
        JsonNodeFactory f = JsonNodeFactory.instance;
        ObjectNode schema = f.objectNode();
        switch (random.nextInt(depth == 0 ? 7 : 10)) {
            case 0 -> {
                int min = random.nextInt(2000) - 1000;
                int max = min + random.nextInt(random.nextBoolean() ? 20 : 2000);
                schema.put("type", "integer").put("minimum", min).put("maximum", max);
                return new Case(schema, r -> f.numberNode(min + r.nextInt(max - min + 1)));
            }
            case 1 -> {
                int min = random.nextInt(3);
                int max = min + random.nextInt(4);
                schema.put("type", "string").put("minLength", min).put("maxLength", max);
                return new Case(schema, r -> f.textNode(text(r, min + r.nextInt(max - min + 1))));
            }
            case 2 -> {
                schema.putArray("enum").add("a\"b").add(12).add(true).addNull().add("日");
                return new Case(schema, r -> schema.get("enum").get(r.nextInt(5)));
            }
            case 3 -> {
                schema.putArray("type").add("boolean").add("null");
                return new Case(schema, r -> r.nextBoolean() ? f.nullNode() : f.booleanNode(r.nextBoolean()));
            }
            case 4 -> {
                BigDecimal low = BigDecimal.valueOf(random.nextInt(4000) - 2000, random.nextInt(4));
                BigDecimal high = low.add(BigDecimal.valueOf(1 + random.nextInt(3000), random.nextInt(4)));
                boolean open = random.nextBoolean();
                schema.put("type", "number").put(open ? "exclusiveMinimum" : "minimum", low).put("maximum", high);
                return new Case(schema, r -> f.numberNode(r.nextInt(4) == 0 ? high : low.add(high.subtract(low)
                        .multiply(BigDecimal.valueOf(1 + r.nextInt(98), 2)))));
            }
            case 5 -> {
                String format = List.of("date", "date-time", "uuid", "ipv4").get(random.nextInt(4));
                schema.put("type", "string").put("format", format);
                return new Case(schema, r -> f.textNode(switch (format) {
                    case "date" -> java.time.LocalDate.ofEpochDay(r.nextInt(40_000)).toString();
                    case "date-time" -> java.time.Instant.ofEpochSecond(r.nextInt()).toString();
                    case "uuid" -> new java.util.UUID(r.nextLong() & ~0xf000L | 0x4000L, r.nextLong() & ~(3L << 62) | 1L << 63).toString();
                    default -> r.nextInt(256) + "." + r.nextInt(256) + ".0." + r.nextInt(256);
                }));
            }
            case 6 -> {
                schema.put("type", "string").put("pattern", "^[A-C]{2}\\d+$");
                return new Case(schema, r -> f.textNode("AC" + r.nextInt(1000)));
            }
            case 7 -> {
                Case item = schema(random, depth - 1);
                int min = random.nextInt(3);
                int max = min + random.nextInt(3);
                schema.put("type", "array").put("minItems", min).put("maxItems", max).set("items", item.schema);
                return new Case(schema, r -> {
                    var array = f.arrayNode();
                    for (int i = min + r.nextInt(max - min + 1); i > 0; i--) {
                        array.add(item.values.apply(r));
                    }
                    return array;
                });
            }
            case 8 -> {
                Case a = schema(random, depth - 1);
                Case b = schema(random, depth - 1);
                schema.putArray("anyOf").add(a.schema).add(b.schema);
                return new Case(schema, r -> (r.nextBoolean() ? a : b).values.apply(r));
            }
            default -> {
                return object(random, depth);
            }
        }
    }

    private static Case object(Random random, int depth) {
        ObjectNode schema = JsonNodeFactory.instance.objectNode().put("type", "object");
        var names = List.of("name", "a", "ab", "日本", "x\"y").subList(0, random.nextInt(6));
        var properties = schema.putObject("properties");
        var members = new ArrayList<Case>();
        var required = schema.putArray("required");
        for (String name : names) {
            Case member = schema(random, depth - 1);
            members.add(member);
            properties.set(name, member.schema);
            if (random.nextBoolean()) {
                required.add(name);
            }
        }
        boolean more = random.nextBoolean();
        Case others = more ? schema(random, depth - 1) : null;
        if (more) {
            schema.set("additionalProperties", others.schema);
        } else {
            schema.put("additionalProperties", false);
        }
        return new Case(schema, r -> {
            var object = JsonNodeFactory.instance.objectNode();
            for (int i = 0; i < names.size(); i++) {
                boolean needed = false;
                for (JsonNode name : required) {
                    needed |= name.asText().equals(names.get(i));
                }
                if (needed || r.nextBoolean()) {
                    object.set(names.get(i), members.get(i).values.apply(r));
                }
            }
            if (more && r.nextBoolean()) {
                object.set("abc" + r.nextInt(9), others.values.apply(r));
            }
            return object;
        });
    }

    private static String text(Random random, int length) {
        var text = new StringBuilder();
        for (int i = 0; i < length; i++) {
            text.append(List.of("a", "\"", "\\", "\n", "日", "\ud83d\ude00", "\u0001", "/", "é").get(random.nextInt(9)));
        }
        return text.toString();
    }

    @Property(tries = 150)
    void schemasHoldAndBlockNothingValid(@ForAll Random random) throws Exception {
        Case one = schema(random, 2);
        var grammar = new Grammar.JsonSchema(one.schema.toString());
        var validator = VALIDATORS.getSchema(one.schema, FORMATS);
        var grammars = Walk.grammars();
        for (int i = 0; i < 4; i++) {
            String output = Walk.random(grammars, grammar, random);
            if (output != null) {
                assertThat(validator.validate(JSON.readTree(output))).as("%s under %s", output, one.schema).isEmpty();
            }
            JsonNode value = one.values.apply(random);
            assertThat(validator.validate(value)).as("the test's own value %s under %s", value, one.schema).isEmpty();
            for (String text : List.of(value.toString(), JSON.writerWithDefaultPrettyPrinter().writeValueAsString(value).replace("\" :", "\":"))) {
                assertThat(Walk.accepts(grammars, grammar, text, random)).as("%s under %s", text, one.schema).isTrue();
            }
        }
    }

    @Property(tries = 60)
    void jsonObjectsAreJson(@ForAll Random random) throws Exception {
        var grammars = Walk.grammars();
        var grammar = new Grammar.JsonObject();
        String output = Walk.random(grammars, grammar, random);
        if (output != null) {
            assertThat(JSON.readTree(output).isObject()).as(output).isTrue();
        }
        assertThat(Walk.accepts(grammars, grammar, "{\"a\": [1, -0.5e+10, \"\\ud83d\\ude00\\n\", {\"b\":{}}], \"c\":null}", random)).isTrue();
        for (String wrong : List.of("{", "[1]", "{\"a\":01}", "{\"a\":1,}", "{\"a\":\"\\ud83d\"}", "{\"a\":\"\n\"}", "{a:1}")) {
            assertThat(Walk.accepts(grammars, grammar, wrong, random)).as(wrong).isFalse();
        }
    }
}
