package dev.polyphon.server.tenant;

import static dev.polyphon.server.Eventually.eventually;
import static dev.polyphon.server.tenant.TenantServer.bearer;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.RawClient;
import dev.polyphon.server.TestServer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.concurrent.CompletableFuture;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** How much those may have who are let in, and what of it they see. */
class LimitsTest {
    private static final String PROMPT = "{\"model\": \"french\", \"prompt\": \"x\"}";

    @TempDir
    private Path store;

    private TenantServer server;

    @BeforeEach
    void start() {
        server = new TenantServer(store.resolve("store"), "adapters.roots=[\"" + store + "\"]");
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private TestServer.Answer refused(TestServer.Answer answer, String type) {
        assertThat(answer.status()).as(answer.body()).isEqualTo(429);
        assertThat(answer.error().path("code").asText()).isEqualTo("rate_limit_exceeded");
        assertThat(answer.error().path("type").asText()).isEqualTo(type);
        assertThat(Long.parseLong(answer.header("Retry-After"))).isPositive();
        return answer;
    }

    @Test
    void requestsPerMinute() {
        String key = server.tenant("acme", "\"limits\": {\"requests_per_minute\": 2}");
        var first = server.complete(key, "french", "x", 1);
        assertThat(first.status()).isEqualTo(200);
        assertThat(first.header("x-ratelimit-limit-requests")).isEqualTo("2");
        assertThat(first.header("x-ratelimit-remaining-requests")).isEqualTo("1");
        assertThat(first.header("x-ratelimit-reset-requests")).matches("\\d+(\\.\\d+)?s");
        assertThat(first.header("x-ratelimit-limit-tokens")).isNull();
        assertThat(server.complete(key, "french", "x", 1).status()).isEqualTo(200);
        var third = refused(server.complete(key, "french", "x", 1), "requests");
        assertThat(third.error().path("message").asText()).contains("Limit 2").contains("try again in");
        assertThat(third.header("x-ratelimit-remaining-requests")).isEqualTo("0");
        assertThat(server.http.get("/v1/models", bearer(key)).status()).as("looking is free").isEqualTo(200);
        String other = server.tenant("other-tenant", "\"limits\": {\"requests_per_minute\": 2}");
        assertThat(server.complete(other, "french", "x", 1).status()).as("another's limit is its own").isEqualTo(200);
        server.admin("PATCH", "tenants/acme", "{\"limits\": {\"requests_per_minute\": null}}");
        assertThat(server.complete(key, "french", "x", 1).status()).as("no limit any more").isEqualTo(200);
    }

    @Test
    void tokensPerMinuteAreSetAsideAndThenSetRight() {
        String key = server.tenant("acme", "\"limits\": {\"tokens_per_minute\": 1000}");
        // A prompt of 2 tokens and the 2 words of the answer, however many were allowed.
        var first = server.complete(key, "french", "a b", 900);
        assertThat(first.status()).isEqualTo(200);
        assertThat(Long.parseLong(first.header("x-ratelimit-remaining-tokens"))).isBetween(995L, 997L);
        refused(server.complete(key, "french", "a " + "b".repeat(4100), 400), "tokens");
        assertThat(server.http.runtime.requests).hasSize(1);
        server.http.runtime.manual = true;
        var running = CompletableFuture.supplyAsync(() -> server.complete(key, "french", "a b", 900));
        var held = held();
        refused(server.complete(key, "french", "a b", 500), "tokens");
        held.sink().started(2, 0);
        held.sink().finished(0, "", FinishReason.STOP, 1);
        assertThat(running.join().status()).isEqualTo(200);
        server.http.runtime.manual = false;
        assertThat(server.complete(key, "french", "a b", 500).status()).isEqualTo(200);
    }

    private FakeRuntime.Held held() {
        try {
            return server.http.runtime.held.take();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void theLargestLimitsAreLimits() {
        long largest = 1L << 53;
        String all = List.of("requests_per_minute", "tokens_per_minute", "tokens_per_day", "concurrent_requests", "connections", "adapters", "adapter_bytes").stream()
                .map(name -> "\"" + name + "\": " + largest).collect(Collectors.joining(", "));
        String key = server.tenant("acme", "\"limits\": {" + all + "}");
        assertThat(server.complete(key, "french", "a b c", 3).header("x-ratelimit-limit-tokens")).isEqualTo(Long.toString(largest));
        server.close();
        server = new TenantServer(store.resolve("store"));
        assertThat(server.complete(key, "french", "a b c", 3).status()).as("after a restart").isEqualTo(200);
    }

    @Test
    void tokensPerDaySurviveARestart() {
        String key = server.tenant("acme", "\"limits\": {\"tokens_per_day\": 10}");
        assertThat(server.complete(key, "french", "a b c", 3).status()).isEqualTo(200);
        server.close();
        server = new TenantServer(store.resolve("store"));
        assertThat(server.admin("GET", "tenants/acme", "").json().at("/now/tokens_today").asLong()).isEqualTo(6);
        var over = refused(server.complete(key, "french", "a", 6), "tokens");
        assertThat(over.error().path("message").asText()).contains("per day (TPD): Limit 10, Used 6, Requested 7");
        assertThat(server.complete(key, "french", "a", 2).status()).isEqualTo(200);
    }

    @Test
    void concurrentRequestsEndWithTheirAnswerOrTheirClient() throws IOException {
        String key = server.tenant("acme", "\"limits\": {\"concurrent_requests\": 1}");
        server.http.runtime.manual = true;
        var running = CompletableFuture.supplyAsync(() -> server.complete(key, "french", "x", 5));
        var held = held();
        refused(server.complete(key, "french", "x", 5), "requests");
        held.sink().started(1, 0);
        held.sink().finished(0, "", FinishReason.STOP, 0);
        assertThat(running.join().status()).isEqualTo(200);
        try (var raw = server.http.raw()) {
            String body = "{\"model\": \"french\", \"prompt\": \"x\", \"stream\": true}";
            raw.post(TenantServer.COMPLETIONS, body, "Authorization: Bearer " + key);
            held = held();
            assertThat(server.admin("GET", "tenants/acme", "").json().at("/now/concurrent_requests").asInt()).isEqualTo(1);
        }
        eventually("the place is free", () -> server.admin("GET", "tenants/acme", "").json().at("/now/concurrent_requests").asInt() == 0);
        assertThat(held.isCancelled()).isTrue();
    }

    @Test
    void connectionsAreTheTenantsUntilTheyClose() throws IOException {
        String key = "Authorization: Bearer " + server.tenant("acme", "\"limits\": {\"connections\": 2}");
        String other = "Authorization: Bearer " + server.tenant("rival", "\"limits\": {\"connections\": 2}");
        try (RawClient first = server.http.raw(); RawClient second = server.http.raw(); RawClient third = server.http.raw(); RawClient theirs = server.http.raw()) {
            assertThat(first.post(TenantServer.COMPLETIONS, PROMPT, key).answer().status()).isEqualTo(200);
            assertThat(first.post(TenantServer.COMPLETIONS, PROMPT, key).answer().status()).isEqualTo(200);
            assertThat(second.post(TenantServer.COMPLETIONS, PROMPT, key).answer().status()).isEqualTo(200);
            var refused = third.post(TenantServer.COMPLETIONS, PROMPT, key).answer();
            assertThat(refused.status()).isEqualTo(429);
            assertThat(refused.body()).contains("Connection limit reached for acme: 2").contains("rate_limit_exceeded");
            assertThat(refused.headers()).containsKey("retry-after");
            assertThat(third.closed()).isTrue();
            assertThat(theirs.post(TenantServer.COMPLETIONS, PROMPT, other).answer().status()).isEqualTo(200);
            assertThat(server.admin("GET", "tenants/acme", "").json().at("/now/connections").asInt()).isEqualTo(2);
            assertThat(first.post(TenantServer.COMPLETIONS, PROMPT, other).answer().status()).as("now another's").isEqualTo(200);
            assertThat(server.admin("GET", "tenants/acme", "").json().at("/now/connections").asInt()).isEqualTo(1);
        }
        eventually("all are free again", () -> server.admin("GET", "tenants/acme", "").json().at("/now/connections").asInt() == 0
                && server.admin("GET", "tenants/rival", "").json().at("/now/connections").asInt() == 0);
    }

    @Test
    void requestsCarryTheTenantAndItsShare() {
        String key = server.tenant("acme", "\"share\": 2.5");
        server.complete(key, "french", "x", 1);
        var scheduling = server.http.runtime.requests.getFirst().scheduling();
        assertThat(scheduling.tenant()).isEqualTo("acme");
        assertThat(scheduling.share()).isEqualTo(2.5);
    }

    @Test
    void whatATenantMayNotUseIsNotThereForIt() {
        String key = server.tenant("acme", "\"adapters\": [\"fr*\"]");
        assertThat(server.complete(key, "french", "x", 1).status()).isEqualTo(200);
        var german = server.complete(key, "german", "x", 1);
        var nothing = server.complete(key, "nothing", "x", 1);
        assertThat(german.status()).isEqualTo(404);
        assertThat(german.body()).isEqualTo(nothing.body().replace("nothing", "german"));
        assertThat(server.http.get("/v1/models/german", bearer(key)).status()).isEqualTo(404);
        assertThat(ids(key)).containsExactly(FakeRuntime.BASE, "french");
        server.admin("PATCH", "tenants/acme", "{\"models\": [\"another\"]}");
        assertThat(ids(key)).isEmpty();
        assertThat(server.complete(key, FakeRuntime.BASE, "x", 1).body()).isEqualTo(server.complete(key, "x/y", "x", 1).body().replace("x/y", FakeRuntime.BASE));
    }

    private List<String> ids(String key) {
        return StreamSupport.stream(server.http.get("/v1/models", bearer(key)).json().path("data").spliterator(), false).map(model -> model.path("id").asText()).toList();
    }

    @Test
    void otherProtocolsAreHeldToTheSame() {
        String key = server.tenant("acme", "\"adapters\": [\"fr*\"], \"limits\": {\"requests_per_minute\": 3, \"tokens_per_minute\": 1000}");
        String generate = "{\"text_input\": \"x\", \"max_tokens\": 5}";
        assertThat(server.http.post("/v2/models/french/generate", generate).error().asText()).startsWith("You didn't provide an API key");
        var first = server.http.post("/v2/models/french/generate", generate, bearer(key));
        assertThat(first.status()).as(first.body()).isEqualTo(200);
        assertThat(server.http.runtime.requests.getFirst().tenant()).isEqualTo("acme");
        assertThat(server.http.post("/v2/models/german/generate", generate, bearer(key)).status()).isEqualTo(404);
        var tooMany = server.http.post("/v2/models/french/generate", generate.replace("5", "2000"), bearer(key));
        assertThat(tooMany.status()).isEqualTo(429);
        assertThat(tooMany.error().asText()).contains("tokens per min");
        var over = server.http.post("/v2/models/french/generate", generate, bearer(key));
        assertThat(over.status()).isEqualTo(429);
        assertThat(over.error().asText()).contains("requests per min");
        assertThat(over.header("Retry-After")).isNotNull();
        var index = server.http.post("/v2/repository/index", "{}", bearer(key)).body();
        assertThat(index).contains("french").doesNotContain("german");
        assertThat(server.http.get("/v2/models/stats", bearer(key)).status()).isEqualTo(403);
        assertThat(server.http.get("/v2/models/french/stats", bearer(key)).status()).isEqualTo(403);
        assertThat(server.http.get("/v2/health/ready").status()).isEqualTo(200);
    }

    @Test
    void theDefaultAdapterStandsForAMissingModel() {
        String key = server.tenant("acme", "\"default_adapter\": \"german\"");
        var answer = server.http.post(TenantServer.COMPLETIONS, "{\"prompt\": \"x\"}", bearer(key));
        assertThat(answer.json().path("model").asText()).isEqualTo("german");
        assertThat(server.http.runtime.requests.getFirst().adapters().getFirst().name()).isEqualTo("german");
    }

    @Test
    void tenantsOwnAdaptersUpToTheirLimit() throws IOException {
        String key = server.tenant("acme", "\"limits\": {\"adapters\": 1}");
        String rival = server.tenant("rival", "");
        adapter("acme/mine");
        adapter("acme/second");
        adapter("rival/theirs");
        assertThat(load(key, "mine", "acme/mine").status()).isEqualTo(200);
        assertThat(server.complete(key, "mine", "x", 1).status()).isEqualTo(200);
        assertThat(server.http.runtime.adapters().find("acme", "mine").orElseThrow().id()).isEqualTo(new AdapterId("acme", "mine"));
        assertThat(server.complete(rival, "mine", "x", 1).status()).isEqualTo(404);
        assertThat(ids(rival)).doesNotContain("mine");
        var second = load(key, "second", "acme/second");
        assertThat(second.status()).as(second.body()).isEqualTo(403);
        assertThat(second.error().path("message").asText()).contains("may own 1 adapters");
        assertThat(load(key, "theirs", "rival/theirs").status()).as("of another's folder").isEqualTo(403);
        assertThat(load(key, "none", "rival/none").status()).as("as if it were there").isEqualTo(403);
        assertThat(load(rival, "theirs", "rival/theirs").status()).as("may own none").isEqualTo(403);
        assertThat(server.http.post("/v1/unload_lora_adapter", "{\"lora_name\": \"french\"}", bearer(key)).status()).as("a shared one").isEqualTo(404);
        assertThat(server.http.post("/v1/unload_lora_adapter", "{\"lora_name\": \"mine\"}", bearer(key)).status()).isEqualTo(200);
        assertThat(load(key, "second", "acme/second").status()).as("room again").isEqualTo(200);
    }

    private void adapter(String name) throws IOException {
        Files.writeString(Files.createDirectories(store.resolve(name)).resolve("adapter_config.json"), "{}");
    }

    private TestServer.Answer load(String key, String name, String folder) {
        return server.http.post("/v1/load_lora_adapter", "{\"lora_name\": \"" + name + "\", \"lora_path\": \"" + store.resolve(folder) + "\"}", bearer(key));
    }
}
