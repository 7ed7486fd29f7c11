package dev.polyphon.server.admin;

import static dev.polyphon.server.Eventually.eventually;
import static dev.polyphon.server.GrpcClient.request;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.grpc.health.v1.HealthCheckRequest;
import dev.polyphon.grpc.health.v1.HealthCheckResponse;
import dev.polyphon.grpc.health.v1.HealthCheckResponse.ServingStatus;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.server.CommandLines;
import dev.polyphon.server.FakeRuntime.Held;
import dev.polyphon.server.GrpcClient;
import dev.polyphon.server.TestServer;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.net.http.HttpRequest.BodyPublishers;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Draining, log levels and the scheduler's state, by API and as commands. */
class ServerAdminTest {
    private static final String DRAIN = "/admin/v1/drain";
    private static final String LEVEL = "/admin/v1/log-level";
    private static final String ASK = "{\"model\": \"french\", \"prompt\": \"a b\"}";

    private final TestServer server = new TestServer("limits.sequences=8");

    @AfterEach
    void stop() {
        server.close();
    }

    private TestServer.Answer send(String method, String path, String body) {
        return server.send(server.request(path, "Content-Type", "application/json").method(method, body == null ? BodyPublishers.noBody() : BodyPublishers.ofString(body)));
    }

    private String said(int status, String... arguments) {
        var all = new ArrayList<>(List.of(arguments));
        all.add(0, "admin");
        all.addAll(List.of("--url", server.uri("").toString()));
        var said = CommandLines.run(all.toArray(String[]::new));
        assertThat(said.status()).as(said.out() + said.err()).isEqualTo(status);
        return said.out() + said.err();
    }

    private Held held() throws InterruptedException {
        Held held = server.runtime.held.poll(20, TimeUnit.SECONDS);
        assertThat(held).isNotNull();
        return held;
    }

    private static void finish(Held held) {
        held.sink().started(1, 0);
        held.token(0, 1, "done");
        held.sink().finished(0, "", FinishReason.STOP, 1);
    }

    private long underWay() {
        return server.get(DRAIN).json().path("requests").asLong();
    }

    @Test
    void aDrainedServerFinishesWhatItHasAndTakesNothingNew() throws Exception {
        assertThat(server.get(DRAIN).body()).isEqualTo("{\"object\":\"drain\",\"draining\":false,\"since\":null,\"retry_after\":null,\"requests\":0}");
        server.runtime.manual = true;
        var before = CompletableFuture.supplyAsync(() -> server.post("/v1/completions", ASK));
        Held held = held();
        JsonNode drain = server.post(DRAIN, "{\"retry_after\": 7}").json();
        assertThat(drain.path("draining").asBoolean()).isTrue();
        assertThat(drain.path("requests").asInt()).isEqualTo(1);
        assertThat(drain.path("since").asLong()).isGreaterThan(1_700_000_000);
        assertThat(server.get("/health/ready").status()).isEqualTo(503);
        assertThat(server.get("/v2/health/ready").status()).isNotEqualTo(200);
        assertThat(server.get("/health/live").status()).isEqualTo(200);
        var requests = Map.of("/v1/completions", ASK, "/v1/embeddings", "{\"model\": \"french\", \"input\": \"a\"}", "/v2/models/french/generate",
                "{\"text_input\": \"x\"}", "/v1/chat/completions", "{\"model\": \"french\", \"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}");
        requests.forEach((path, body) -> {
            var refused = server.post(path, body);
            assertThat(refused.status()).as(path + refused.body()).isEqualTo(503);
            assertThat(refused.header("Retry-After")).as(path).isEqualTo("7");
            assertThat(refused.body()).contains("being drained");
        });
        assertThat(server.post("/v1/completions", ASK).error().path("code").asText()).isEqualTo("draining");
        assertThat(server.post("/v1/completions", "{\"model\": \"nobody\", \"prompt\": \"a\"}").status()).as("what is wrong anyway").isEqualTo(404);
        try (var client = new GrpcClient(server.port())) {
            assertThat(client.call("grpc.health.v1.Health/Check", HealthCheckRequest.getDefaultInstance(), HealthCheckResponse.getDefaultInstance()).getStatus())
                    .isEqualTo(ServingStatus.NOT_SERVING);
            assertThat(catchThrowableOfType(StatusRuntimeException.class, () -> client.infer(request("french", "x"))).getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
        }
        assertThat(server.runtime.held).isEmpty();
        finish(held);
        assertThat(before.get(20, TimeUnit.SECONDS).json().at("/choices/0/text").asText()).isEqualTo("done");
        assertThat(underWay()).isZero();
        assertThat(send("DELETE", DRAIN, null).json().path("draining").asBoolean()).isFalse();
        server.runtime.manual = false;
        assertThat(server.get("/health/ready").status()).isEqualTo(200);
        assertThat(server.post("/v1/completions", ASK).status()).isEqualTo(200);
    }

    /** Its inputs are computed a few at a time: those that come after the drain belong to what was under way. */
    @Test
    void anEmbeddingOfManyInputsIsFinished() throws Exception {
        var input = new StringBuilder("\"a\"").repeat(", \"a\"", 199);
        var gate = new CountDownLatch(1);
        server.runtime.hold(gate);
        var before = CompletableFuture.supplyAsync(() -> server.post("/v1/embeddings", "{\"model\": \"french\", \"input\": [" + input + "]}"));
        eventually("the first are under way", () -> !server.runtime.embeddings.isEmpty());
        assertThat(server.runtime.embeddings.size()).isLessThanOrEqualTo(8);
        server.post(DRAIN, "");
        gate.countDown();
        assertThat(before.get(20, TimeUnit.SECONDS).json().path("data")).hasSize(200);
        eventually("none is under way", () -> underWay() == 0);
    }

    @Test
    void whoeverLeavesIsNoLongerUnderWay() throws Exception {
        server.runtime.manual = true;
        try (var raw = server.raw()) {
            raw.post("/v1/completions", ASK);
            held();
            assertThat(underWay()).isEqualTo(1);
        }
        eventually("it is gone", () -> underWay() == 0);
        server.post("/v1/completions", "{\"model\": \"nobody\", \"prompt\": \"a\"}");
        assertThat(underWay()).isZero();
    }

    @Test
    void drainsByCommand() throws Exception {
        server.runtime.manual = true;
        var asked = CompletableFuture.supplyAsync(() -> server.post("/v1/completions", ASK));
        Held held = held();
        assertThat(said(0, "status")).isEqualToIgnoringNewLines("in service; 1 requests under way");
        assertThat(said(0, "drain", "--retry-after", "5")).startsWith("drained since ").contains("told to wait 5 s; 1 requests under way");
        var waited = CompletableFuture.supplyAsync(() -> said(0, "drain", "--wait", "--json"));
        eventually("the second drain has begun", () -> server.get(DRAIN).json().path("retry_after").asInt() == 30);
        assertThat(waited).isNotDone();
        finish(held);
        assertThat(TestServer.parse(waited.get(20, TimeUnit.SECONDS)).path("requests").asInt()).isZero();
        assertThat(asked.get(20, TimeUnit.SECONDS).status()).isEqualTo(200);
        assertThat(said(0, "undrain")).startsWith("in service");
        assertThat(said(1, "drain", "--retry-after", "0")).contains("retry_after");
    }

    @Test
    void changesWhatIsLogged() {
        Logger logger = LoggerFactory.getLogger(ServerAdminTest.class);
        String name = logger.getName();
        String packageName = ServerAdminTest.class.getPackageName();
        String level = server.get(LEVEL).json().path("level").asText();
        try {
            assertThat(logger.isDebugEnabled()).isFalse();
            JsonNode levels = send("PUT", LEVEL, "{\"level\": \"debug\", \"logger\": \"" + packageName + "\"}").json();
            assertThat(logger.isDebugEnabled()).isTrue();
            assertThat(levels.path("loggers")).contains(TestServer.parse("{\"logger\": \"" + packageName + "\", \"level\": \"debug\"}"));
            assertThat(said(0, "log-level", "error", "--logger", name)).containsPattern(name.replace(".", "\\.") + " +error");
            assertThat(logger.isWarnEnabled()).isFalse();
            assertThat(said(0, "log-level", "inherit", "--logger", name)).doesNotContain(name);
            assertThat(logger.isDebugEnabled()).isTrue();
            send("PUT", LEVEL, "{\"level\": null, \"logger\": \"" + packageName + "\"}");
            assertThat(logger.isDebugEnabled()).isFalse();
            assertThat(said(0, "log-level", "warn")).containsPattern("\\(all\\) +warn");
            assertThat(logger.isInfoEnabled()).isFalse();
            assertThat(TestServer.parse(said(0, "log-level", "--json")).path("level").asText()).isEqualTo("warn");
        } finally {
            send("PUT", LEVEL, "{\"level\": \"" + level + "\"}");
            send("PUT", LEVEL, "{\"level\": null, \"logger\": \"" + packageName + "\"}");
        }
        assertThat(said(1, "log-level", "info", "--logger", "no.such.thing")).contains("There is no logger 'no.such.thing'");
        assertThat(said(1, "log-level", "--logger", name)).contains("needs a LEVEL");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
            "POST | /admin/v1/drain     | {\"retry_after\": 0}                   | 400 | retry_after",
            "POST | /admin/v1/drain     | {\"retryAfter\": 5}                    | 400 | Unknown parameter: 'retryAfter'",
            "PUT  | /admin/v1/log-level | {\"level\": \"loud\"}                  | 400 | trace, debug, info",
            "PUT  | /admin/v1/log-level | {}                                     | 400 | Missing required parameter: 'level'",
            "PUT  | /admin/v1/log-level | {\"level\": null, \"logger\": \"ROOT\"} | 400 | Missing required parameter: 'level'",
            "GET  | /admin/v1/scheduler?limit=0 |                                | 400 | must be 1 to 1000",
    })
    void saysWhatIsWrong(String method, String path, String body, int status, String message) {
        var answer = send(method, path, body);
        assertThat(answer.status()).as(answer.body()).isEqualTo(status);
        assertThat(answer.error().path("message").asText()).contains(message);
        assertThat(server.get(DRAIN).json().path("draining").asBoolean()).isFalse();
    }

    @Test
    void saysWhatAServerWithoutTenantsLacks() {
        for (String path : List.of("/admin/v1/tenants", "/admin/v1/tenants/acme/keys", "/admin/v1/keys/x", "/admin/v1/usage", "/admin/v1/audit", "/v1/usage")) {
            assertThat(server.get(path).status()).as(path).isEqualTo(404);
            assertThat(server.get(path).error().path("message").asText()).contains("tenants.store");
        }
        assertThat(CommandLines.run("tenant", "list", "--url", server.uri("").toString()).err()).contains("This server has no tenants");
    }

    @Test
    void tellsOfTheScheduler() {
        assertThat(server.get("/admin/v1/scheduler").body()).isEqualTo("{\"object\":\"scheduler\",\"running\":0,\"waiting\":3,\"kv_blocks\":100,\"kv_blocks_used\":42,"
                + "\"kv_blocks_cached\":7,\"total\":2,\"counters\":[{\"tenant\":\"t\",\"adapters\":[],\"share\":2.0,\"served\":12.5,\"running\":0,\"waiting\":3},"
                + "{\"tenant\":\"u\",\"adapters\":[\"french\"],\"share\":1.0,\"served\":3.0,\"running\":1,\"waiting\":0}]}");
        assertThat(said(0, "scheduler")).contains("0 running, 3 waiting; KV cache: 42 of 100 blocks in use, 7 kept for prefixes")
                .containsPattern("t +- +2.0 +1[23] +0 +3").containsPattern("u +french +1.0 +3 +1 +0").doesNotContain("more");
        assertThat(said(0, "scheduler", "--limit", "1")).contains("and 1 more").doesNotContain("french");
        assertThat(TestServer.parse(said(0, "scheduler", "--json")).path("total").asInt()).isEqualTo(2);
    }
}
