package dev.polyphon.engine.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.runtime.Prompt;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class ChatTemplateTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    private static JsonNode vectors() throws IOException {
        try (InputStream in = ChatTemplateTest.class.getResourceAsStream("/text/chat-templates.json")) {
            return JSON.readTree(in);
        }
    }

    static Stream<Arguments> expected() throws IOException {
        JsonNode all = vectors();
        List<Arguments> cases = new ArrayList<>();
        for (JsonNode one : all.path("expected")) {
            String template = one.path("template").asText();
            String conversation = one.path("conversation").asText();
            cases.add(Arguments.of(template, conversation, all.path("templates").path(template).asText(), all.path("conversations").path(conversation), one));
        }
        return cases.stream();
    }

    @ParameterizedTest(name = "{0}: {1}")
    @MethodSource("expected")
    void rendersAsJinja(String name, String conversation, String source, JsonNode input, JsonNode expected) {
        List<Map<String, Object>> messages = JSON.convertValue(input.path("messages"), new TypeReference<>() {});
        List<Object> tools = JSON.convertValue(input.path("tools"), new TypeReference<>() {});
        var chat = new Prompt.Chat(messages, tools, input.path("add_generation_prompt").asBoolean(), Map.of());
        var template = new ChatTemplate(source, "<s>", "</s>");
        if (expected.has("error")) {
            assertThatThrownBy(() -> template.render(chat)).isInstanceOf(TemplateException.class).hasMessage(expected.path("error").asText());
        } else {
            assertThat(template.render(chat)).isEqualTo(expected.path("text").asText());
        }
    }

    @Test
    void variablesOfTheRequestReachTheTemplate() {
        var template = new ChatTemplate("{% if enable_thinking %}<think>{% endif %}{{ messages[0].content }}", "", "");
        var messages = List.<Map<String, Object>>of(Map.of("role", "user", "content", "x"));
        assertThat(template.render(new Prompt.Chat(messages, List.of(), true, Map.of("enable_thinking", true)))).isEqualTo("<think>x");
        assertThat(template.render(new Prompt.Chat(messages, List.of(), true, Map.of()))).isEqualTo("x");
    }

    /** Whatever became of a template on its way, a request gets the one exception that says so, and an endless one is cut. */
    @Property(tries = 400)
    void aBrokenTemplateFailsInOneWay(@ForAll long seed) throws IOException {
        var random = new Random(seed);
        var templates = new ArrayList<String>();
        vectors().path("templates").forEach(t -> templates.add(t.asText()));
        var source = new StringBuilder(templates.get(random.nextInt(templates.size())));
        for (int i = random.nextInt(4); i >= 0 && !source.isEmpty(); i--) {
            int at = random.nextInt(source.length());
            switch (random.nextInt(3)) {
                case 0 -> source.deleteCharAt(at);
                case 1 -> source.setCharAt(at, "{}%'\"()[]|. \n\u0000é".charAt(random.nextInt(15)));
                default -> source.setLength(Math.max(1, at));
            }
        }
        var messages = List.<Map<String, Object>>of(Map.of("role", "user", "content", "x"));
        try {
            new ChatTemplate(source.toString(), "<s>", "</s>").render(new Prompt.Chat(messages, List.of(), true, Map.of()));
        } catch (TemplateException e) {
            assertThat(e.getMessage()).isNotBlank();
        }
    }

    private static String render(String source) {
        var messages = List.<Map<String, Object>>of(Map.of("role", "user", "content", "hello"));
        return new ChatTemplate(source, "<s>", "</s>").render(new Prompt.Chat(messages, List.of(), true, Map.of()));
    }

    /** The expected is what Python 3 prints. */
    @ParameterizedTest
    @CsvSource(delimiter = ';', quoteCharacter = '`', textBlock = """
            'a.b.c'.split('.');['a', 'b', 'c']
            ' a  b '.split();['a', 'b']
            'a b c'.split(' ', 1);['a', 'b c']
            'a b c'.rsplit(' ', 1);['a b', 'c']
            '<think>x</think>y'.split('</think>')[-1];y
            ''.split();[]
            ''.split(',');['']
            'xxabcx'.lstrip('x');abcx
            'xxabcx'.rstrip('x');xxabc
            '|' ~ ' a '.strip() ~ '|';|a|
            'abc'.startswith('ab');true
            'abc'.endswith(['x', 'c']);true
            'abc'.startswith('b');false
            'aB c'.upper();AB C
            'aB c'.title();Ab C
            'aB c'.capitalize();Ab c
            'abab'.replace('b', 'x');axax
            'abab'.replace('b', 'x', 1);axab
            'ab'.replace('', '-');-a-b-
            'abcb'.find('b');1
            'abcb'.rfind('b');3
            'abcb'.find('x');-1
            'abcb'.count('b');2
            '-'.join(['a', 'b']);a-b
            'abc'.removeprefix('a');bc
            'abc'.removesuffix('a');abc
            '12'.isdigit();true
            'abab'|replace('a', 'c');cbcb
            messages[0].get('none', 'd');d
            messages[0].keys()|sort|join(',');content,role
            """)
    void stringsAndDictsHavePythonsMethods(String expression, String expected) {
        assertThat(render("{{ " + expression + " }}")).isEqualTo(expected);
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "{{ ''.getClass() }}", "{{ messages.getClass().forName('java.lang.Runtime') }}", "{{ messages.stream() }}", "{{ (1).getClass() }}", "{{ {}.entrySet() }}",
        "{{ ____int3rpr3t3r____.getContext() }}", "{{ ''.repeat(3) }}", "{% include 'logback.xml' %}", "{% import '/etc/passwd' as x %}", "{% extends 'x' %}",
        "{{ '{{ 1 }}'|render }}", "{{ 'a: 1'|fromyaml }}"
    })
    void reachesNothingOfJava(String template) {
        assertThatThrownBy(() -> render(template)).isInstanceOf(TemplateException.class);
    }

    @ParameterizedTest
    @ValueSource(strings = {"''.class", "messages.class", "messages[0].role.bytes", "____int3rpr3t3r____.config", "raise_exception.class", "loop.class", "''|attr('class')"})
    void seesNothingOfJava(String expression) {
        assertThat(render("{{ " + expression + " }}")).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}x{% endfor %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x='x') %}{% for i in range(40) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x='x') %}{% for i in range(20) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x|replace('x', ns.x) }}",
        "{% set ns = namespace(x={}) %}{% for i in range(60) %}{% set ns.x = {'a': ns.x, 'b': ns.x} %}{% endfor %}{{ ns.x|tojson }}",
        "{{ 'a'|center(100000000) }}", "{{ [1]|batch(100000000, 'x') }}", "{{ '%100000000d'|format(1) }}", "{{ 'x'|indent(100000000) }}", "{{ 1.5|round(100000000) }}"
    })
    void endsInTimeAndBounds(String template) {
        assertThatThrownBy(() -> render(template)).isInstanceOf(TemplateException.class);
    }
}
