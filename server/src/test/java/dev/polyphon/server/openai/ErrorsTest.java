package dev.polyphon.server.openai;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.TestServer;
import java.net.http.HttpRequest;
import java.time.Duration;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ErrorsTest {
    private static final String CHAT = "/v1/chat/completions";
    private static final String COMPLETIONS = "/v1/completions";

    private static TestServer server;

    @BeforeAll
    static void start() {
        server = new TestServer("limits.stops=2", "limits.choices=8", "limits.sequences=10", "limits.stopLength=5", "limits.logitBias=1");
    }

    @AfterAll
    static void stop() {
        server.close();
    }

    @AfterEach
    void noFault() {
        server.runtime.fault = null;
    }

    private static TestServer.Answer complete(String fields) {
        return server.post(COMPLETIONS, "{\"model\":\"" + FakeRuntime.BASE + "\"," + fields + "}");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            "temperature":3                       | temperature       | decimal_above_max_value  | Expected a value <= 2, but got 3 instead
            "temperature":-0.5                    | temperature       | decimal_below_min_value  | Expected a value >= 0, but got -0.5 instead
            "temperature":"hot"                   | temperature       | invalid_type             | expected a number, but got a string instead
            "temperature":1e999                   | temperature       | decimal_above_max_value  | Expected a value <= 2
            "top_p":1.5                           | top_p             | decimal_above_max_value  | <= 1
            "top_k":-2                            | top_k             | integer_below_min_value  | >= -1
            "top_k":2.5                           | top_k             | invalid_type             | expected an integer, but got a decimal
            "min_p":-1                            | min_p             | decimal_below_min_value  | >= 0
            "repetition_penalty":0                | repetition_penalty| decimal_below_min_value  | >= 0.01
            "presence_penalty":3                  | presence_penalty  | decimal_above_max_value  | <= 2
            "frequency_penalty":-3                | frequency_penalty | decimal_below_min_value  | >= -2
            "n":0                                 | n                 | integer_below_min_value  | Expected a value >= 1, but got 0 instead
            "n":9                                 | n                 | integer_above_max_value  | <= 8
            "n":true                              | n                 | invalid_type             | expected an integer, but got a boolean
            "max_tokens":-1                       | max_tokens        | integer_below_min_value  | >= 0
            "max_tokens":99999999999              | max_tokens        | integer_above_max_value  | 99999999999
            "min_tokens":20                       | min_tokens        | invalid_value            | got 20 and 16
            "seed":1.5                            | seed              | invalid_type             | integer
            "seed":99999999999999999999           | seed              | integer_above_max_value  | 99999999999999999999
            "logprobs":21                         | logprobs          | integer_above_max_value  | <= 20
            "logprobs":true                       | logprobs          | invalid_type             | expected an integer, but got a boolean
            "stop":["a","b","c"]                  | stop              | array_above_max_length   | maximum length 2, but got an array with length 3
            "stop":[""]                           | stop[0]           | invalid_value            | must not be empty
            "stop":["toolong"]                    | stop[0]           | string_above_max_length  | maximum length 5, but got a string with length 7
            "stop":5                              | stop              | invalid_type             | a string or an array of strings, but got an integer
            "stop":["a",1]                        | stop[1]           | invalid_type             | a string, but got an integer
            "stop_token_ids":[1000]               | stop_token_ids[0] | integer_above_max_value  | <= 999
            "stop_token_ids":"x"                  | stop_token_ids    | invalid_type             | an array
            "logit_bias":{"x":1}                  | logit_bias        | invalid_value            | a token id from 0 to 999, but got 'x'
            "logit_bias":{"1000":1}               | logit_bias        | invalid_value            | a token id from 0 to 999, but got '1000'
            "logit_bias":{"5":101}                | logit_bias.5      | decimal_above_max_value  | <= 100
            "logit_bias":{"5":1,"6":1}            | logit_bias        | object_above_max_properties | at most 1, but got 2
            "logit_bias":[]                       | logit_bias        | invalid_type             | an object, but got an array
            "stream":"yes"                        | stream            | invalid_type             | a boolean, but got a string
            "stream_options":{}                   | stream_options    | invalid_value            | only allowed when 'stream' is enabled
            "stream":true,"stream_options":{"include_usage":1} | stream_options.include_usage | invalid_type | a boolean, but got an integer
            "best_of":1,"n":2                     | best_of           | invalid_value            | got 1 and 2
            "best_of":2,"stream":true             | best_of           | invalid_value            | got 2 and 1
            "priority":11                         | priority          | integer_above_max_value  | <= 10
            "queue_timeout":0                     | queue_timeout     | decimal_below_min_value  | >= 0.001
            "cache_salt":""                       | cache_salt        | invalid_value            | 1 to 256 characters, but got one of 0
            "suffix":"end"                        | suffix            | unsupported_parameter    | 'suffix' is not supported
            "prompt_logprobs":-1                  | prompt_logprobs   | integer_below_min_value  | >= 0
            "prompt_logprobs":0,"stream":true     | prompt_logprobs   | invalid_value            | not allowed when 'stream' is enabled
            "response_format":{"type":"xml"}      | response_format.type | unsupported_value   | Supported values are
            "response_format":{}                  | response_format.type | missing_required_parameter | 'response_format.type'
            "guided_json":7                       | guided_json       | invalid_type             | expected a JSON schema
            "guided_choice":[]                    | guided_choice     | empty_array              | empty array
            "regex":"a","response_format":{"type":"json_object"} | regex | invalid_value          | 'response_format' and 'regex'
            "structured_outputs":{"structural_tag":{}} | structured_outputs.structural_tag | unsupported_parameter | structural_tag
            "use_beam_search":true                | use_beam_search   | unsupported_parameter    | 'use_beam_search' is not supported
            "skip_special_tokens":false           | skip_special_tokens | unsupported_parameter  | 'skip_special_tokens' is not supported
            """)
    void refusesWrongCompletionFields(String field, String param, String code, String message) {
        assertRefused(complete("\"prompt\":\"x\"," + field), param, code, message);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            "x":1                   | prompt       | missing_required_parameter | Missing required parameter: 'prompt'.
            "prompt":5              | prompt       | invalid_type               | an array of token ids
            "prompt":[]             | prompt       | empty_array                | empty array
            "prompt":[[]]           | prompt[0]    | empty_array                | at least one token id
            "prompt":[1,1000]       | prompt[1]    | integer_above_max_value    | <= 999, but got 1000
            "prompt":[1,"a"]        | prompt[1]    | invalid_type               | an integer, but got a string
            "prompt":["a",5]        | prompt[1]    | invalid_type               | a string or an array of token ids, but got an integer
            "prompt":[{}]           | prompt[0]    | invalid_type               | got an object
            "prompt":["a","b"],"n":6| n            | invalid_value              | 2 prompts with 6 continuations each: at most 10
            """)
    void refusesWrongPrompts(String field, String param, String code, String message) {
        assertRefused(complete(field), param, code, message);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            "x":1                                                  | messages                | missing_required_parameter | 'messages'
            "messages":[]                                          | messages                | empty_array          | minimum length 1
            "messages":"hi"                                        | messages                | invalid_type         | expected an array, but got a string
            "messages":["hi"]                                      | messages[0]             | invalid_type         | expected an object, but got a string
            "messages":[{"content":"x"}]                           | messages[0].role        | missing_required_parameter | 'messages[0].role'
            "messages":[{"role":"king","content":"x"}]             | messages[0].role        | invalid_value        | 'king'. Supported values are: 'system'
            "messages":[{"role":"user"}]                           | messages[0].content     | missing_required_parameter | content
            "messages":[{"role":"user","content":5}]               | messages[0].content     | invalid_type         | an array of content parts
            "messages":[{"role":"user","content":[{"type":"image_url"}]}] | messages[0].content[0].type | unsupported_value | 'image_url'
            "messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{"}}]}] | messages[0].tool_calls[0].function.arguments | invalid_value | JSON
            "messages":[{"role":"user","content":"x"}],"tools":[{}]| tools[0].function       | missing_required_parameter | function
            "messages":[{"role":"user","content":"x"}],"tool_choice":"required" | tool_choice | invalid_value   | only when 'tools' are specified
            "messages":[{"role":"user","content":"x"}],"top_logprobs":2 | top_logprobs       | invalid_value        | only allowed when 'logprobs' is enabled
            "messages":[{"role":"user","content":"x"}],"logprobs":3| logprobs                | invalid_type         | a boolean, but got an integer
            "messages":[{"role":"user","content":"x"}],"max_tokens":3,"max_completion_tokens":4 | max_tokens | invalid_value | got 3 and 4
            "messages":[{"role":"user","content":"x"}],"modalities":["audio"] | modalities   | unsupported_parameter | 'modalities'
            "messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema"} | response_format.json_schema | missing_required_parameter | response_format.json_schema
            """)
    void refusesWrongChats(String field, String param, String code, String message) {
        assertRefused(server.post(CHAT, "{\"model\":\"" + FakeRuntime.BASE + "\"," + field + "}"), param, code, message);
    }

    private static void assertRefused(TestServer.Answer answer, String param, String code, String message) {
        assertThat(answer.status()).as(answer.body()).isEqualTo(400);
        assertThat(answer.error().path("type").asText()).isEqualTo("invalid_request_error");
        assertThat(answer.error().path("param").asText()).isEqualTo(param);
        assertThat(answer.error().path("code").asText()).isEqualTo(code);
        assertThat(answer.error().path("message").asText()).contains(message);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            {"model":          | line 1
            {"a":1} {"b":2}    | We could not parse
            [1]                | we got an array instead
            ``                 | it is empty
            {"a":NaN}          | We could not parse
            {'a':1}            | We could not parse
            {"a":["\\ud83d"]}  | surrogate
            {"a":{"\\ude00":1}} | surrogate
            """)
    void refusesWhatIsNoJsonObject(String body, String message) {
        var answer = server.post(COMPLETIONS, body);
        assertThat(answer.status()).isEqualTo(400);
        assertThat(answer.error().path("code").asText()).isEqualTo("invalid_json");
        assertThat(answer.error().path("message").asText()).contains(message);
    }

    @Test
    void refusesDeepNesting() {
        var answer = server.post(COMPLETIONS, "{\"a\":" + "[".repeat(100) + "]".repeat(100) + "}");
        assertThat(answer.status()).isEqualTo(400);
        assertThat(answer.error().path("message").asText()).contains("64");
    }

    @Test
    void refusesOtherContentTypes() {
        for (String type : new String[] {"text/plain", "application/x-www-form-urlencoded", "application/jsonx"}) {
            var answer = server.send(server.request(COMPLETIONS).header("Content-Type", type).POST(HttpRequest.BodyPublishers.ofString("{}")));
            assertThat(answer.status()).isEqualTo(415);
            assertThat(answer.error().path("message").asText()).contains("'" + type + "'");
        }
        var charset = server.send(server.request(COMPLETIONS)
                .header("Content-Type", "Application/JSON; charset=utf-8")
                .POST(HttpRequest.BodyPublishers.ofString("{\"model\":\"french\",\"prompt\":\"x\"}")));
        assertThat(charset.status()).isEqualTo(200);
    }

    @Test
    void answersUnknownPathsAndMethodsInTheSameForm() {
        var unknown = server.get("/v1/nothing");
        assertThat(unknown.status()).isEqualTo(404);
        assertThat(unknown.error().path("code").asText()).isEqualTo("unknown_url");
        var wrong = server.get(CHAT);
        assertThat(wrong.status()).isEqualTo(405);
        assertThat(wrong.header("Allow")).isEqualTo("POST");
        assertThat(wrong.error().path("type").asText()).isEqualTo("invalid_request_error");
    }

    @ParameterizedTest
    @CsvSource({
        "UNKNOWN_MODEL,404,model_not_found",
        "UNKNOWN_ADAPTER,404,adapter_not_found",
        "INVALID,400,invalid_value",
        "CONTEXT_EXCEEDED,400,context_length_exceeded",
        "ADAPTER_UNUSABLE,422,adapter_unusable",
        "CONFLICT,409,conflict",
        "SHUTTING_DOWN,503,shutting_down",
        "INTERNAL,500,internal_error"
    })
    void mapsFaultsOfTheRuntime(Kind kind, int status, String code) {
        server.runtime.fault = RuntimeFault.of(kind, "because 513 > 512");
        for (String stream : new String[] {"true", "false"}) {
            var answer = complete("\"prompt\":\"x\",\"stream\":" + stream);
            assertThat(answer.status()).isEqualTo(status);
            assertThat(answer.header("Content-Type")).isEqualTo("application/json");
            assertThat(answer.error().path("code").asText()).isEqualTo(code);
            assertThat(answer.error().path("message").asText()).isEqualTo("because 513 > 512");
        }
    }

    @Test
    void saysWhenToTryAgain() {
        server.runtime.fault = RuntimeFault.overloaded("the queue is full", Duration.ofMillis(2500));
        var answer = complete("\"prompt\":\"x\"");
        assertThat(answer.status()).isEqualTo(429);
        assertThat(answer.header("Retry-After")).isEqualTo("3");
        server.runtime.fault = RuntimeFault.invalid("top_k", "no");
        assertThat(complete("\"prompt\":\"x\"").error().path("param").asText()).isEqualTo("top_k");
    }

    @Test
    void refusesTooLargeBodies() {
        var answer = complete("\"prompt\":\"" + "x".repeat(5 << 20) + "\"");
        assertThat(answer.status()).isEqualTo(413);
        assertThat(answer.error().path("message").asText()).contains(Integer.toString(4 << 20));
    }
}
