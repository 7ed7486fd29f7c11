package dev.polyphon.server.kserve;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.LeakCheck;
import dev.polyphon.server.TestServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

@ExtendWith(LeakCheck.class)
class RestTest {
    private final TestServer server = new TestServer();

    @AfterEach
    void stop() {
        server.close();
    }

    private static String input(String name, String datatype, String data) {
        return "{\"name\":\"" + name + "\",\"shape\":[1],\"datatype\":\"" + datatype + "\",\"data\":[" + data + "]}";
    }

    private TestServer.Answer infer(String model, String more, String... inputs) {
        return server.post("/v2/models/" + model + "/infer", "{\"id\":\"mine\",\"inputs\":[" + String.join(",", inputs) + "]" + more + "}");
    }

    private static JsonNode output(JsonNode answer, String name) {
        for (JsonNode output : answer.get("outputs")) {
            if (output.get("name").asText().equals(name)) {
                return output;
            }
        }
        throw new AssertionError("no output " + name + " in " + answer);
    }

    @Test
    void tellsOfTheServerAndItsModels() {
        assertThat(server.get("/v2").json().get("name").asText()).isEqualTo("polyphon");
        assertThat(server.get("/v2/health/live").status()).isEqualTo(200);
        assertThat(server.get("/v2/health/ready").status()).isEqualTo(200);
        for (String model : List.of("french", FakeRuntime.BASE, "org%2Fbase-135m", "french/versions/1")) {
            assertThat(server.get("/v2/models/" + model + "/ready").status()).as(model).isEqualTo(200);
        }
        var metadata = server.get("/v2/models/" + FakeRuntime.BASE).json();
        assertThat(metadata.get("name").asText()).isEqualTo(FakeRuntime.BASE);
        assertThat(metadata.at("/inputs/0").toString()).isEqualTo("{\"name\":\"text_input\",\"datatype\":\"BYTES\",\"shape\":[1]}");
        assertThat(metadata.at("/outputs/0").toString()).isEqualTo("{\"name\":\"text_output\",\"datatype\":\"BYTES\",\"shape\":[-1]}");
        var config = server.get("/v2/models/french/config").json();
        assertThat(config.at("/model_transaction_policy/decoupled").booleanValue()).isTrue();
        assertThat(config.get("max_batch_size").intValue()).isZero();
        assertThat(config.at("/parameters/base_model/string_value").asText()).isEqualTo(FakeRuntime.BASE);
        assertThat(config.at("/input/1/optional").booleanValue()).isTrue();
        var missing = server.get("/v2/models/welsh");
        assertThat(missing.status()).isEqualTo(404);
        assertThat(missing.error().asText()).contains("welsh");
        assertThat(server.get("/v2/models/french/versions/2/ready").status()).isEqualTo(404);
        assertThat(server.get("/v2/nothing").error().asText()).contains("/v2/nothing");
    }

    @Test
    void infers() {
        var answer = infer("french", "", input("text_input", "BYTES", "\"one two three\""),
                input("sampling_parameters", "BYTES", "\"{\\\"max_tokens\\\": \\\"2\\\", \\\"temperature\\\": \\\"0\\\"}\""),
                input("exclude_input_in_output", "BOOL", "true"), input("return_finish_reason", "BOOL", "true"),
                input("return_num_input_tokens", "BOOL", "true"), input("return_num_output_tokens", "BOOL", "true"));
        assertThat(answer.status()).as(answer.body()).isEqualTo(200);
        JsonNode json = answer.json();
        assertThat(json.get("model_name").asText()).isEqualTo("french");
        assertThat(json.get("id").asText()).isEqualTo("mine");
        assertThat(output(json, "text_output").toString())
                .isEqualTo("{\"name\":\"text_output\",\"datatype\":\"BYTES\",\"shape\":[1],\"data\":[\"french:one two\"]}");
        assertThat(output(json, "finish_reason").at("/data/0").asText()).isEqualTo("length");
        assertThat(output(json, "num_input_tokens").at("/data/0").intValue()).isEqualTo(3);
        assertThat(output(json, "num_output_tokens").at("/data/0").intValue()).isEqualTo(2);
        var request = server.runtime.requests.getLast();
        assertThat(request.sampling().temperature()).isZero();
        assertThat(request.prompt()).isEqualTo(new Prompt.Text("one two three", true));
        assertThat(infer("french", "", input("text_input", "BYTES", "\"a b\"")).json().at("/outputs/0/data/0").asText())
                .as("the input comes first unless it is left out").isEqualTo("a bfrench:a b");
    }

    @Test
    void choosesTheAdapterByLoraName() {
        var sampling = input("sampling_parameters", "BYTES", "\"{\\\"lora_name\\\": \\\"german\\\", \\\"n\\\": 2, \\\"logprobs\\\": 1}\"");
        var json = infer(FakeRuntime.BASE, ",\"outputs\":[{\"name\":\"text_output\"},{\"name\":\"cumulative_logprob\"},{\"name\":\"logprobs\"}]",
                input("text_input", "BYTES", "\"x\""), input("exclude_input_in_output", "BOOL", "true"), sampling).json();
        assertThat(output(json, "text_output").get("data").toString()).isEqualTo("[\"german:x\",\"german:x\"]");
        assertThat(output(json, "cumulative_logprob").get("data").toString()).isEqualTo("[-2.0,-1.0]");
        assertThat(TestServer.parse(output(json, "logprobs").at("/data/0").asText()).at("/0/7/rank").intValue()).isEqualTo(1);
        var contradiction = infer("french", "", input("text_input", "BYTES", "\"x\""), sampling);
        assertThat(contradiction.status()).isEqualTo(400);
        assertThat(contradiction.error().asText()).contains("french", "german", "lora_name");
        var unknown = infer(FakeRuntime.BASE, "", input("text_input", "BYTES", "\"x\""), input("sampling_parameters", "BYTES", "\"{\\\"lora_name\\\": \\\"welsh\\\"}\""));
        assertThat(unknown.status()).as("not a fallback to the base").isEqualTo(404);
    }

    @Test
    void takesAndGivesBinaryTensors() throws Exception {
        var text = element("größer als");
        String json = "{\"inputs\":[{\"name\":\"text_input\",\"shape\":[1],\"datatype\":\"BYTES\",\"parameters\":{\"binary_data_size\":" + text.length
                + "}},{\"name\":\"exclude_input_in_output\",\"shape\":[1],\"datatype\":\"BOOL\",\"parameters\":{\"binary_data_size\":1}}],"
                + "\"parameters\":{\"binary_data_output\":true}}";
        HttpResponse<byte[]> answer = binary(json, join(text, new byte[] {1}));
        assertThat(answer.statusCode()).isEqualTo(200);
        int length = Integer.parseInt(answer.headers().firstValue(RestInput.JSON_LENGTH).orElseThrow());
        var head = TestServer.parse(new String(answer.body(), 0, length, StandardCharsets.UTF_8));
        assertThat(head.at("/outputs/0/parameters/binary_data_size").intValue()).isEqualTo(answer.body().length - length);
        assertThat(head.at("/outputs/0").has("data")).isFalse();
        assertThat(java.util.Arrays.copyOfRange(answer.body(), length, answer.body().length)).isEqualTo(element("french:größer als"));
    }

    private static byte[] element(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(4 + bytes.length).order(ByteOrder.LITTLE_ENDIAN).putInt(bytes.length).put(bytes).array();
    }

    private static byte[] join(byte[]... parts) {
        var all = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            all.writeBytes(part);
        }
        return all.toByteArray();
    }

    private HttpResponse<byte[]> binary(String json, byte[] data) {
        byte[] head = json.getBytes(StandardCharsets.UTF_8);
        try (var client = java.net.http.HttpClient.newHttpClient()) {
            return client.send(HttpRequest.newBuilder(server.uri("/v2/models/french/infer"))
                            .header(RestInput.JSON_LENGTH, Integer.toString(head.length))
                            .POST(HttpRequest.BodyPublishers.ofByteArray(join(head, data)))
                            .build(), HttpResponse.BodyHandlers.ofByteArray());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void refusesWhatIsWrong() {
        String text = input("text_input", "BYTES", "\"x\"");
        record Case(TestServer.Answer answer, String mentions) {}
        for (Case wrong : List.of(
                new Case(infer("french", ""), "text_input"),
                new Case(infer("french", "", input("image", "BYTES", "\"x\"")), "Unexpected inference input 'image'"),
                new Case(infer("french", "", input("text_input", "FP32", "1")), "BYTES"),
                new Case(infer("french", "", input("text_input", "BYTES", "\"a\",\"b\"")), "one element"),
                new Case(infer("french", "", input("text_input", "BYTES", "1")), "an integer"),
                new Case(infer("french", "", text, text), "twice"),
                new Case(infer("french", "", "{\"name\":\"text_input\",\"shape\":[2],\"datatype\":\"BYTES\",\"data\":[\"a\",\"b\"]}"), "shape [1]"),
                new Case(infer("french", "", "{\"name\":\"text_input\",\"shape\":[1],\"datatype\":\"BYTES\"}"), "binary_data_size"),
                new Case(infer("french", ",\"outputs\":[{\"name\":\"image\"}]", text), "Unexpected inference output 'image'"),
                new Case(infer("french", ",\"outputs\":[{\"name\":\"text_output\",\"parameters\":{\"classification\":3}}]", text), "classification"),
                new Case(infer("french", "", text, input("sampling_parameters", "BYTES", "\"{\"")), "sampling_parameters"),
                new Case(infer("french", "", text, input("sampling_parameters", "BYTES", "\"{\\\"temperature\\\": 9}\"")), "temperature"),
                new Case(infer("french", "", text, input("stream", "BOOL", "true")), "ModelStreamInfer"),
                new Case(server.post("/v2/models/french/infer", "{\"inputs\":"), "JSON"),
                new Case(server.post("/v2/models/french/infer", "{}", RestInput.JSON_LENGTH, "77"), RestInput.JSON_LENGTH))) {
            assertThat(wrong.answer.status()).as(wrong.answer.body()).isEqualTo(400);
            assertThat(wrong.answer.error().isTextual()).as(wrong.answer.body()).isTrue();
            assertThat(wrong.answer.error().asText()).contains(wrong.mentions);
        }
        server.runtime.fault = RuntimeFault.overloaded("the queue is full", java.time.Duration.ofSeconds(2));
        var full = infer("french", "", text);
        assertThat(full.status()).isEqualTo(429);
        assertThat(full.header("Retry-After")).isEqualTo("2");
        assertThat(full.error().asText()).isEqualTo("the queue is full");
    }

    @Test
    void generates() {
        var one = server.post("/v2/models/french/generate", """
                {"text_input": "a b c", "parameters": {"max_tokens": 2, "stream": false, "exclude_input_in_output": true, "stop": ["zzz"]}}""");
        assertThat(one.status()).as(one.body()).isEqualTo(200);
        assertThat(one.json().toString()).isEqualTo("{\"model_name\":\"french\",\"model_version\":\"1\",\"text_output\":\"french:a b\"}");
        assertThat(server.runtime.requests.getLast().sampling().stop()).containsExactly("zzz");
        var events = server.post("/v2/models/" + FakeRuntime.BASE + "/generate_stream", """
                {"text_input": "a b c", "stream": true, "sampling_parameters": {"lora_name": "german"}, "return_finish_reason": true, "id": "7"}""");
        assertThat(events.header("Content-Type")).startsWith("text/event-stream");
        var text = new StringBuilder();
        events.chunks().forEach(chunk -> text.append(chunk.get("text_output").asText()));
        assertThat(text).hasToString("german:a b c");
        assertThat(events.chunks().getLast().get("finish_reason").asText()).isEqualTo("stop");
        assertThat(events.chunks().getFirst().get("id").asText()).isEqualTo("7");
        var both = server.post("/v2/models/french/generate_stream", "{\"text_input\": \"a\", \"stream\": true, \"exclude_input_in_output\": false}");
        assertThat(both.status()).isEqualTo(400);
        server.runtime.fault = RuntimeFault.of(RuntimeFault.Kind.INTERNAL, "broken");
        assertThat(server.post("/v2/models/french/generate_stream", "{\"text_input\": \"a\"}").status()).isEqualTo(500);
    }

    @Test
    void loadsAndUnloads(@TempDir Path folder) throws IOException {
        assertThat(states("{}")).contains("french READY", FakeRuntime.BASE + " READY");
        assertThat(server.post("/v2/repository/models/french/unload", "{}").status()).isEqualTo(200);
        assertThat(server.get("/v2/models/french/ready").status()).isEqualTo(404);
        assertThat(states("{}")).contains("french UNAVAILABLE");
        assertThat(states("{\"ready\": true}")).doesNotContain("french UNAVAILABLE");
        assertThat(server.post("/v2/repository/models/french/load", "{}").status()).isEqualTo(200);
        assertThat(server.get("/v2/models/french/ready").status()).isEqualTo(200);
        Files.writeString(folder.resolve("adapter_config.json"), "{}");
        String config = new com.fasterxml.jackson.databind.node.ObjectNode(com.fasterxml.jackson.databind.node.JsonNodeFactory.instance)
                .put("config", "{\"parameters\":{\"lora_path\":{\"string_value\":\"" + folder + "\"}}}").toString();
        assertThat(server.post("/v2/repository/models/acme/v2/load", "{\"parameters\":" + config + "}").status()).isEqualTo(200);
        assertThat(server.get("/v2/models/acme/v2/ready").status()).isEqualTo(200);
        assertThat(server.post("/v2/repository/models/nowhere/load", "{}").status()).isEqualTo(404);
        assertThat(server.post("/v2/repository/models/nowhere/unload", "{}").status()).isEqualTo(404);
        assertThat(server.post("/v2/repository/models/" + FakeRuntime.BASE + "/unload", "{}").status()).isEqualTo(400);
        assertThat(server.post("/v2/repository/models/x/load", "{\"parameters\":{\"config\":\"{}\"}}").error().asText()).contains("lora_path");
        try (var fixed = new TestServer("adapters.loading=false")) {
            assertThat(fixed.post("/v2/repository/models/french/unload", "{}").status()).isEqualTo(403);
        }
    }

    private List<String> states(String body) {
        var states = new ArrayList<String>();
        server.post("/v2/repository/index", body).json().forEach(model -> states.add(model.get("name").asText() + " " + model.get("state").asText()));
        return states;
    }

    @Test
    void counts() {
        infer("french", "", input("text_input", "BYTES", "\"x\""));
        server.post("/v1/completions", "{\"model\":\"french\",\"prompt\":\"x\"}");
        server.runtime.fault = RuntimeFault.of(RuntimeFault.Kind.INTERNAL, "broken");
        infer("french", "", input("text_input", "BYTES", "\"x\""));
        var stats = server.get("/v2/models/french/stats").json().at("/model_stats/0");
        assertThat(stats.get("inference_count").intValue()).isEqualTo(2);
        assertThat(stats.at("/inference_stats/success/count").intValue()).isEqualTo(2);
        assertThat(stats.at("/inference_stats/success/ns").longValue()).isPositive();
        assertThat(stats.at("/inference_stats/fail/count").intValue()).isEqualTo(1);
        assertThat(server.get("/v2/models/stats").json().get("model_stats")).hasSize(1);
        assertThat(server.get("/v2/models/german/stats").json().at("/model_stats/0/inference_count").intValue()).isZero();
    }

    /** Whatever comes is answered, and never by a failure of the server. */
    @Test
    void survivesWrongBytes() {
        byte[] text = element("one two");
        String json = "{\"id\":\"1\",\"inputs\":[{\"name\":\"text_input\",\"shape\":[1],\"datatype\":\"BYTES\",\"parameters\":{\"binary_data_size\":" + text.length
                + "}},{\"name\":\"sampling_parameters\",\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[\"{\\\"n\\\":\\\"1\\\"}\"]}],"
                + "\"outputs\":[{\"name\":\"text_output\",\"parameters\":{\"binary_data\":true}}],\"parameters\":{\"a\":1.5}}";
        var random = new Random(4);
        for (int i = 0; i < 500; i++) {
            byte[] head = json.getBytes(StandardCharsets.UTF_8);
            byte[] data = text.clone();
            for (int j = random.nextInt(3); j >= 0; j--) {
                byte[] damaged = random.nextInt(3) == 0 ? data : head;
                damaged[random.nextInt(damaged.length)] = (byte) (random.nextBoolean() ? random.nextInt(256) : "{}[]\",:0-e".charAt(random.nextInt(10)));
            }
            String request = new String(head, StandardCharsets.ISO_8859_1);
            var answer = rawBinary(head, data);
            assertThat(answer.statusCode()).as(request).isBetween(200, 499);
        }
    }

    private final java.net.http.HttpClient client = java.net.http.HttpClient.newHttpClient();

    private HttpResponse<byte[]> rawBinary(byte[] head, byte[] data) {
        try {
            return client.send(HttpRequest.newBuilder(server.uri("/v2/models/french/infer"))
                    .header(RestInput.JSON_LENGTH, Integer.toString(head.length))
                    .POST(HttpRequest.BodyPublishers.ofByteArray(join(head, data)))
                    .build(), HttpResponse.BodyHandlers.ofByteArray());
        } catch (IOException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}
