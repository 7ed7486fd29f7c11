package dev.polyphon.engine.sample.grammar;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polyphon.runtime.Grammar;
import dev.polyphon.runtime.RuntimeFault;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class GrammarsTest {
    private static final String ARITHMETIC = """
            # llama.cpp's example
            root  ::= (expr "=" ws term "\\n")+
            expr  ::= term ([-+*/] term)*
            term  ::= ident | num
                | "(" ws expr ")" ws
            ident ::= [a-z] [a-z0-9_]* ws
            num   ::= [0-9]{1,3} ws
            ws    ::= [ \\t\\n]*
            """;
    private final Random random = new Random(1);
    private final Grammars grammars = Walk.grammars();

    private boolean accepts(Grammar grammar, String text) {
        return Walk.accepts(grammars, grammar, text, random);
    }

    @Test
    void rulesAreContextFree() {
        var grammar = new Grammar.Rules(ARITHMETIC);
        assertThat(accepts(grammar, "a+(b*(12-c))=x1\n")).isTrue();
        assertThat(accepts(grammar, "a+(b*(12-c)=x1\n")).isFalse();
        assertThat(accepts(grammar, "1234=x\n")).isFalse();
        var nested = new Grammar.Rules("root ::= \"(\" root \")\" | \"[\" root \"]\" | \"a\"");
        assertThat(accepts(nested, "([((a))])")).isTrue();
        assertThat(accepts(nested, "([(a)))")).isFalse();
    }

    @Test
    void choicesAreThose() {
        var grammar = new Grammar.Choice(List.of("abc", "ab", "日本"));
        for (String text : List.of("abc", "ab", "日本")) {
            assertThat(accepts(grammar, text)).isTrue();
        }
        assertThat(accepts(grammar, "日")).isFalse();
        assertThat(accepts(grammar, "abcd")).isFalse();
    }

    @Test
    void schemasMayReferToThemselves() {
        var grammar = new Grammar.JsonSchema("""
                {"$defs": {"node": {"type": "object", "properties": {"name": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
                "required": ["name", "next"], "additionalProperties": false}}, "$ref": "#/$defs/node"}""");
        assertThat(accepts(grammar, "{\"name\": \"a\", \"next\": {\"name\": \"b\", \"next\": null}}")).isTrue();
        assertThat(accepts(grammar, "{\"name\": \"a\", \"next\": {\"name\": \"b\"}}")).isFalse();
    }

    @Test
    void partsOfAllOfMeet() {
        var grammar = new Grammar.JsonSchema("""
                {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"a": {"minimum": 3}, "b": {"const": "x"}}, "required": ["b"]}], "additionalProperties": false}""");
        assertThat(accepts(grammar, "{\"a\": 3, \"b\": \"x\"}")).isTrue();
        assertThat(accepts(grammar, "{\"a\": 2, \"b\": \"x\"}")).isFalse();
        assertThat(accepts(grammar, "{\"a\": 3}")).isFalse();
    }

    @Test
    void oneOfNeedsAlternativesThatExcludeEachOther() {
        String dog = "{\"type\":\"object\",\"properties\":{\"kind\":{\"const\":\"dog\"}},\"required\":[\"kind\"]}";
        assertThat(accepts(new Grammar.JsonSchema("{\"oneOf\":[" + dog + "," + dog.replace("dog", "cat") + "]}"), "{\"kind\":\"cat\"}")).isTrue();
        assertThatThrownBy(() -> grammars.constrain(new Grammar.JsonSchema("{\"oneOf\":[" + dog + "," + dog + "]}"))).hasMessageContaining("'oneOf'");
    }

    @ParameterizedTest
    @CsvSource(delimiter = ';', quoteCharacter = '~', textBlock = """
            a(?=b); not supported
            (a)\\1; the escape \\1
            a**+; possessive
            [b-a]; ends before it begins
            (a; not closed
            a{3,1}; is none
            a{20000}; more than 10000 repetitions""")
    void wrongExpressionsAreExplained(String pattern, String reason) {
        assertThatThrownBy(() -> grammars.constrain(new Grammar.Regex(pattern))).isInstanceOf(RuntimeFault.class).hasMessageContaining(reason);
    }

    @ParameterizedTest
    @CsvSource(delimiter = ';', quoteCharacter = '~', textBlock = """
            {"type": "strin"}; 'strin' is no type
            {"not": {}}; 'not' is not supported
            {"properties": {"a": {"uniqueItems": true, "type": "array"}}}; at #/properties/a: 'uniqueItems'
            {"$ref": "#/$defs/none"}; points to nothing
            {"$ref": "#"}; matches nothing
            false; matches nothing
            {"type": ; is not JSON""")
    void wrongSchemasAreExplained(String schema, String reason) {
        assertThatThrownBy(() -> grammars.constrain(new Grammar.JsonSchema(schema))).isInstanceOf(RuntimeFault.class).hasMessageContaining(reason);
    }

    @Test
    void sizeIsBounded() {
        assertThatThrownBy(() -> grammars.constrain(new Grammar.Regex("[a-z]{9000}".repeat(12)))).hasMessageContaining("too large");
    }

    @ParameterizedTest
    @ValueSource(strings = {"a ::= \"x\"", "root ::= root \"a\" | \"b\"", "root ::= a\na ::= ", "root ::= \"a", "root = \"a\"", "root ::= b", "root ::= \"\""})
    void wrongRulesAreRefused(String rules) {
        assertThatThrownBy(() -> grammars.constrain(new Grammar.Rules(rules))).isInstanceOf(RuntimeFault.class);
    }

    /** A space at the beginning is dropped when the text is put together, so it must not count; behind the beginning it does. */
    @Test
    void aFirstSpaceThatIsDroppedDoesNotCount() {
        var stripping = new Grammars(Walk.VOCABULARY, true, Runnable::run);
        assertThat(Walk.accepts(stripping, new Grammar.Regex("a{2}"), " aa", random)).isTrue();
        assertThat(Walk.accepts(stripping, new Grammar.Regex("a* *"), " a a", random)).isFalse();
        assertThat(Walk.accepts(stripping, new Grammar.Regex("a*"), "a a", random)).isFalse();
    }
}
