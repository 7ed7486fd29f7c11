package dev.polyphon.server.openai;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.TestServer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ModelsTest {
    private static final String LOAD = "/v1/load_lora_adapter";
    private static final String UNLOAD = "/v1/unload_lora_adapter";

    @TempDir
    private Path folder;

    private TestServer server;

    @BeforeEach
    void start() {
        server = new TestServer();
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private TestServer.Answer complete(String fields, String... headers) {
        return server.post("/v1/completions", "{\"prompt\":\"x\"," + fields + "}", headers);
    }

    @Test
    void listsBaseAndAdapters() {
        var json = server.get("/v1/models").json();
        assertThat(json.path("object").asText()).isEqualTo("list");
        assertThat(json.path("data")).extracting(model -> model.path("id").asText()).containsExactly(FakeRuntime.BASE, "french", "german");
        assertThat(json.at("/data/0").toString()).isEqualTo("{\"id\":\"org/base-135m\",\"object\":\"model\",\"created\":1700000000,"
                + "\"owned_by\":\"polyphon\",\"root\":\"org/base-135m\",\"parent\":null,\"max_model_len\":512}");
        assertThat(json.at("/data/1").toString()).isEqualTo("{\"id\":\"french\",\"object\":\"model\",\"created\":1700000001,"
                + "\"owned_by\":\"polyphon\",\"root\":\"/adapters/french\",\"parent\":\"org/base-135m\",\"max_model_len\":512}");
    }

    @Test
    void showsOne() {
        assertThat(server.get("/v1/models/french").json().path("parent").asText()).isEqualTo(FakeRuntime.BASE);
        assertThat(server.get("/v1/models/org/base-135m").json().path("id").asText()).isEqualTo(FakeRuntime.BASE);
        assertThat(server.get("/v1/models/org%2Fbase-135m").json().path("id").asText()).isEqualTo(FakeRuntime.BASE);
        var none = server.get("/v1/models/klingon");
        assertThat(none.status()).isEqualTo(404);
        assertThat(none.error().path("code").asText()).isEqualTo("model_not_found");
        assertThat(none.error().path("message").asText()).contains("`klingon`");
    }

    @Test
    void choosesTheAdapter() {
        assertThat(complete("\"model\":\"french\"").json().at("/choices/0/text").asText()).isEqualTo("french:x");
        assertThat(complete("\"model\":\"" + FakeRuntime.BASE + "\",\"adapter_id\":\"german\"").json().at("/choices/0/text").asText()).isEqualTo("german:x");
        assertThat(complete("\"model\":\"" + FakeRuntime.BASE + "\"", "X-Adapter", "german").json().at("/choices/0/text").asText()).isEqualTo("german:x");
        assertThat(complete("\"model\":\"french\",\"adapter_id\":\"french\"").json().path("model").asText()).isEqualTo("french");
        var request = server.runtime.requests.getLast();
        assertThat(request.model()).isEqualTo(FakeRuntime.BASE);
        assertThat(request.adapters()).containsExactly(new AdapterWeight("french"));
        complete("\"model\":\"" + FakeRuntime.BASE + "\"");
        assertThat(server.runtime.requests.getLast().adapters()).isEmpty();
    }

    @Test
    void addsAdaptersUp() {
        var mixed = complete("\"model\":\"" + FakeRuntime.BASE + "\",\"adapters\":[{\"id\":\"french\",\"weight\":0.7},{\"id\":\"german\",\"weight\":-0.3,\"task\":\"t\"}]");
        assertThat(mixed.status()).as(mixed.body()).isEqualTo(200);
        assertThat(server.runtime.requests.getLast().adapters()).containsExactly(new AdapterWeight("french", 0.7f, null), new AdapterWeight("german", -0.3f, "t"));
        assertThat(complete("\"adapters\":[\"french\",\"german\"]").json().path("model").asText()).as("the base is theirs").isEqualTo(FakeRuntime.BASE);
        assertThat(server.runtime.requests.getLast().adapters()).containsExactly(new AdapterWeight("french"), new AdapterWeight("german"));
        complete("\"model\":\"french\",\"adapters\":[],\"task\":null");
        assertThat(server.runtime.requests.getLast().adapters()).containsExactly(new AdapterWeight("french"));
    }

    @Test
    void namesATask() {
        complete("\"model\":\"french\",\"task\":\"summaries\"");
        assertThat(server.runtime.requests.getLast().adapters()).containsExactly(new AdapterWeight("french", 1, "summaries"));
        complete("\"model\":\"" + FakeRuntime.BASE + "\",\"task\":\"summaries\"", "X-Adapter", "german");
        assertThat(server.runtime.requests.getLast().adapters()).containsExactly(new AdapterWeight("german", 1, "summaries"));
        String inputs = "\"inputs\":[{\"name\":\"text_input\",\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[\"x\"]}]";
        assertThat(server.post("/v2/models/french/infer", "{" + inputs + ",\"parameters\":{\"task\":\"summaries\"}}").status()).isEqualTo(200);
        assertThat(server.runtime.requests.getLast().adapters()).containsExactly(new AdapterWeight("french", 1, "summaries"));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            "model":"BASE","adapters":[{"id":"french","weight":"much"}]    | 400 | adapters[0].weight
            "model":"BASE","adapters":[{"name":"french"}]                  | 400 | adapters[0].name
            "model":"BASE","adapters":"french"                             | 400 | adapters
            "model":"BASE","adapters":["french","klingon"]                 | 404 | adapters
            "model":"klingon","adapters":["french"]                        | 404 | model
            "model":"german","adapters":["french"]                         | 400 | adapters
            "model":"BASE","adapter_id":"german","adapters":["french"]     | 400 | adapters
            "model":"BASE","task":"t","adapters":["french"]                | 400 | adapters
            "model":"BASE","task":"t"                                      | 400 | task
            "model":"BASE","adapters":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1] | 400 | adapters
            """)
    void refusesMixesThatCannotBe(String fields, int status, String param) {
        int before = server.runtime.requests.size();
        var refused = complete(fields.replace("BASE", FakeRuntime.BASE));
        assertThat(refused.status()).as(refused.body()).isEqualTo(status);
        assertThat(refused.error().path("param").asText()).isEqualTo(param);
        assertThat(server.runtime.requests).hasSize(before);
    }

    @Test
    void refusesWhatIsNotThere() {
        var unknown = complete("\"model\":\"klingon\"");
        assertThat(unknown.status()).isEqualTo(404);
        assertThat(unknown.error().toString()).isEqualTo("{\"message\":\"The model `klingon` does not exist or you do not have access to it.\","
                + "\"type\":\"invalid_request_error\",\"param\":\"model\",\"code\":\"model_not_found\"}");
        var adapter = complete("\"model\":\"" + FakeRuntime.BASE + "\",\"adapter_id\":\"klingon\"");
        assertThat(adapter.status()).isEqualTo(404);
        assertThat(adapter.error().path("param").asText()).isEqualTo("adapter_id");
        assertThat(complete("\"x\":1").error().path("message").asText()).isEqualTo("you must provide a model parameter");
    }

    @Test
    void refusesContradictions() {
        assertThat(complete("\"model\":\"french\",\"adapter_id\":\"german\"").status()).isEqualTo(400);
        assertThat(complete("\"model\":\"french\"", "X-Adapter", "german").error().path("message").asText()).contains("french").contains("german").contains("X-Adapter");
        assertThat(complete("\"model\":\"" + FakeRuntime.BASE + "\",\"adapter_id\":\"french\"", "X-Adapter", "german").status()).isEqualTo(400);
    }

    @Test
    void loadsAndUnloads() throws IOException {
        Files.writeString(folder.resolve("adapter_config.json"), "{}");
        String body = "{\"lora_name\":\"new\",\"lora_path\":\"" + folder + "\"}";
        var loaded = server.post(LOAD, body);
        assertThat(loaded.status()).isEqualTo(200);
        assertThat(loaded.body()).isEqualTo("Success: LoRA adapter 'new' added successfully.");
        assertThat(complete("\"model\":\"new\"").json().at("/choices/0/text").asText()).isEqualTo("new:x");

        var again = server.post(LOAD, body);
        assertThat(again.status()).isEqualTo(400);
        assertThat(again.error().path("message").asText())
                .isEqualTo("The lora adapter 'new' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.");
        assertThat(again.error().path("type").asText()).isEqualTo("InvalidUserInput");
        assertThat(server.post(LOAD, body.replace("}", ",\"load_inplace\":true}")).status()).isEqualTo(200);

        var unloaded = server.post(UNLOAD, "{\"lora_name\":\"new\"}");
        assertThat(unloaded.body()).isEqualTo("Success: LoRA adapter 'new' removed successfully.");
        assertThat(complete("\"model\":\"new\"").status()).isEqualTo(404);
        var gone = server.post(UNLOAD, "{\"lora_name\":\"new\"}");
        assertThat(gone.status()).isEqualTo(404);
        assertThat(gone.error().path("message").asText()).isEqualTo("The lora adapter 'new' cannot be found.");
    }

    @Test
    void refusesWrongLoads() throws IOException {
        assertThat(server.post(LOAD, "{\"lora_name\":\"x\"}").error().path("message").asText()).isEqualTo("Both 'lora_name' and 'lora_path' must be provided.");
        assertThat(server.post(UNLOAD, "{}").error().path("message").asText()).isEqualTo("'lora_name' needs to be provided to unload a LoRA adapter.");
        assertThat(server.post(LOAD, "{\"lora_name\":\"x\",\"lora_path\":\"/no/such/folder\"}").status()).isEqualTo(404);
        assertThat(server.post(LOAD, "{\"lora_name\":\"x\",\"lora_path\":\"a\\u0000b\"}").status()).isEqualTo(404);
        var empty = server.post(LOAD, "{\"lora_name\":\"x\",\"lora_path\":\"" + folder + "\"}");
        assertThat(empty.status()).isEqualTo(400);
        assertThat(empty.error().path("message").asText()).contains("no adapter_config.json");
        Files.writeString(folder.resolve("adapter_config.json"), "{}");
        String rest = ",\"lora_path\":\"" + folder + "\"}";
        assertThat(server.post(LOAD, "{\"lora_name\":\"" + FakeRuntime.BASE + "\"" + rest).error().path("message").asText()).contains("conflicts");
        assertThat(server.post(LOAD, "{\"lora_name\":\"x\",\"base_model_name\":\"other\"" + rest).status()).isEqualTo(404);
        assertThat(server.post(LOAD, "{\"lora_name\":[1]" + rest).error().path("code").asText()).isEqualTo("invalid_type");
    }

    @Test
    void loadsOnlyWhenAndFromWhereItMay() throws IOException {
        Path inside = Files.createDirectories(folder.resolve("inside/adapter"));
        Path outside = Files.createDirectories(folder.resolve("outside"));
        Files.writeString(inside.resolve("adapter_config.json"), "{}");
        Files.writeString(outside.resolve("adapter_config.json"), "{}");
        Path link = Files.createSymbolicLink(folder.resolve("inside/link"), outside);
        try (var bounded = new TestServer("adapters.roots=[" + folder.resolve("inside") + "]")) {
            assertThat(bounded.post(LOAD, "{\"lora_name\":\"a\",\"lora_path\":\"" + inside + "\"}").status()).isEqualTo(200);
            for (Path path : new Path[] {outside, link, inside.resolve("../../outside")}) {
                assertThat(bounded.post(LOAD, "{\"lora_name\":\"b\",\"lora_path\":\"" + path + "\"}").status()).as("%s", path).isEqualTo(403);
            }
        }
        try (var fixed = new TestServer("adapters.loading=false")) {
            assertThat(fixed.post(LOAD, "{\"lora_name\":\"a\",\"lora_path\":\"" + inside + "\"}").status()).isEqualTo(403);
            assertThat(fixed.post(UNLOAD, "{\"lora_name\":\"french\"}").status()).isEqualTo(403);
        }
    }
}
