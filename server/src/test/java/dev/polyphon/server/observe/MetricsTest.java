package dev.polyphon.server.observe;

import static dev.polyphon.server.Eventually.eventually;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.TestServer;
import java.io.IOException;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class MetricsTest {
    private TestServer server;

    @BeforeEach
    void start() {
        server = new TestServer("metrics.adapterLabels=2");
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private void complete(String model) {
        server.post("/v1/completions", "{\"model\":\"" + model + "\",\"prompt\":\"a b c\",\"n\":2}");
    }

    private double value(String series) {
        return server.get("/metrics").body().lines()
                .filter(line -> line.startsWith(series + " "))
                .mapToDouble(line -> Double.parseDouble(line.substring(series.length() + 1)))
                .findFirst()
                .orElse(Double.NaN);
    }

    @Test
    void countsRequestsAndTokens() {
        complete("french");
        complete("french");
        complete(FakeRuntime.BASE);
        complete("klingon");
        server.runtime.fault = RuntimeFault.of(RuntimeFault.Kind.INTERNAL, "broken");
        complete("german");
        server.runtime.fault = RuntimeFault.overloaded("full", Duration.ofSeconds(1));
        complete("german");
        String ofFrench = "{adapter=\"french\",model=\"org/base-135m\"}";
        assertThat(value("polyphon_requests_total{adapter=\"french\",model=\"org/base-135m\",outcome=\"ok\"}")).isEqualTo(2);
        assertThat(value("polyphon_requests_total{adapter=\"\",model=\"org/base-135m\",outcome=\"ok\"}")).isEqualTo(1);
        assertThat(value("polyphon_requests_total{adapter=\"\",model=\"\",outcome=\"rejected\"}")).isEqualTo(1);
        assertThat(value("polyphon_requests_total{adapter=\"german\",model=\"org/base-135m\",outcome=\"failed\"}")).isEqualTo(1);
        assertThat(value("polyphon_requests_total{adapter=\"german\",model=\"org/base-135m\",outcome=\"overloaded\"}")).isEqualTo(1);
        assertThat(value("polyphon_prompt_tokens_total" + ofFrench)).isEqualTo(6);
        assertThat(value("polyphon_generated_tokens_total" + ofFrench)).isEqualTo(12);
        String ofClass = "{adapter_class=\"lora\",model=\"org/base-135m\",tenant=\"default\"}";
        assertThat(value("polyphon_time_to_first_token_seconds_count" + ofClass)).isEqualTo(2);
        assertThat(value("polyphon_time_per_output_token_seconds_count" + ofClass)).as("one a choice").isEqualTo(4);
        assertThat(value("polyphon_request_duration_seconds_count" + ofClass)).as("with the two that failed").isEqualTo(4);
        assertThat(value("polyphon_time_to_first_token_seconds_count" + ofClass.replace("lora", "none"))).isEqualTo(1);
        assertThat(value("polyphon_tenant_requests_total{outcome=\"ok\",tenant=\"default\"}")).isEqualTo(3);
        assertThat(value("polyphon_tenant_generated_tokens_total{tenant=\"default\"}")).isEqualTo(18);
        assertThat(value("polyphon_http_answers_total{route=\"/v1/completions\",status=\"200\"}")).isEqualTo(3);
        assertThat(value("polyphon_http_answers_total{route=\"/v1/completions\",status=\"404\"}")).isEqualTo(1);
        assertThat(value("polyphon_http_connections")).isGreaterThanOrEqualTo(1);
    }

    @Test
    void boundsTheAdaptersWithMetricsOfTheirOwn() {
        for (String name : new String[] {"french", "german", "french"}) {
            complete(name);
        }
        server.post("/v1/completions", "{\"model\":\"nobody\",\"prompt\":\"a\"}");
        for (int i = 0; i < 20; i++) {
            server.runtime.addAdapter("extra" + i);
            complete("extra" + i);
        }
        assertThat(value("polyphon_requests_total{adapter=\"french\",model=\"org/base-135m\",outcome=\"ok\"}")).isEqualTo(2);
        assertThat(value("polyphon_requests_total{adapter=\"other\",model=\"org/base-135m\",outcome=\"ok\"}")).isEqualTo(20);
        assertThat(server.get("/metrics").body()).doesNotContain("extra");
    }

    @Test
    void tellsWhoseSequencesWait() {
        assertThat(value("polyphon_tenant_sequences_waiting{tenant=\"t\"}")).isEqualTo(3);
    }

    @Test
    void followsRequestsUnderWay() throws InterruptedException {
        server.runtime.manual = true;
        String body = "{\"model\":\"french\",\"prompt\":\"a\"}";
        var answers = new ArrayList<Thread>();
        for (int i = 0; i < 2; i++) {
            answers.add(Thread.startVirtualThread(() -> server.post("/v1/completions", body)));
        }
        var first = server.runtime.held.take();
        var second = server.runtime.held.take();
        eventually("two wait", () -> value("polyphon_tenant_requests_waiting{tenant=\"default\"}") == 2);
        first.sink().started(1, 0);
        eventually("one runs", () -> value("polyphon_tenant_requests_running{tenant=\"default\"}") == 1);
        assertThat(value("polyphon_tenant_requests_waiting{tenant=\"default\"}")).isEqualTo(1);
        assertThat(server.get("/metrics").body()).contains(
                "vllm:lora_requests_info{max_lora=\"64\",running_lora_adapters=\"french\",waiting_lora_adapters=\"french\"}");
        first.sink().finished(0, "", FinishReason.STOP, 0);
        second.sink().failed(RuntimeFault.of(RuntimeFault.Kind.INTERNAL, "broken"));
        for (Thread answer : answers) {
            answer.join();
        }
        assertThat(value("polyphon_tenant_requests_running{tenant=\"default\"}")).as("nothing is under way").isZero();
        assertThat(server.get("/metrics").body()).contains("running_lora_adapters=\"\",waiting_lora_adapters=\"\"}");
    }

    @Test
    void speaksTheNamesOfOthers() {
        complete("french");
        server.post("/v1/chat/completions", "{\"model\":\"french\",\"messages\":[{\"role\":\"user\",\"content\":\"a b c\"}]}");
        assertThat(value("vllm:num_requests_waiting{model_name=\"org/base-135m\"}")).isEqualTo(3);
        assertThat(value("vllm:kv_cache_usage_perc{model_name=\"org/base-135m\"}")).isEqualTo(0.42);
        String labels = "gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"polyphon\",gen_ai_request_model=\"org/base-135m\"";
        assertThat(value("gen_ai_server_request_duration_seconds_count{error_type=\"\"," + labels + "}")).isEqualTo(1);
        assertThat(value("gen_ai_server_time_to_first_token_seconds_count{" + labels + "}")).isEqualTo(1);
        assertThat(value("gen_ai_client_token_usage_sum{" + labels + ",gen_ai_token_type=\"output\"}")).isEqualTo(3);
    }

    @Test
    void showsTheRuntime() {
        server.runtime.tell(o -> o.step(new RuntimeObserver.Step(Duration.ofMillis(7), 16, 5, 12, 40)));
        server.runtime.tell(o -> o.admitted("t", Duration.ofMillis(300)));
        server.runtime.tell(o -> o.preempted("t"));
        server.runtime.tell(o -> o.adapterLoad("french", Duration.ofMillis(20), true));
        server.runtime.tell(o -> o.adapterLoad("german", Duration.ofMillis(20), false));
        assertThat(value("polyphon_step_duration_seconds_bucket{le=\"0.005\"}")).isZero();
        assertThat(value("polyphon_step_duration_seconds_bucket{le=\"0.01\"}")).isEqualTo(1);
        assertThat(value("polyphon_step_sequences_sum")).isEqualTo(16);
        assertThat(value("polyphon_step_adapters_sum")).isEqualTo(5);
        assertThat(value("polyphon_step_rows_total{kind=\"decode\"}")).isEqualTo(12);
        assertThat(value("polyphon_step_rows_total{kind=\"prefill\"}")).isEqualTo(40);
        assertThat(value("polyphon_queue_duration_seconds_count{tenant=\"t\"}")).isEqualTo(1);
        assertThat(value("polyphon_preemptions_total{tenant=\"t\"}")).isEqualTo(1);
        assertThat(value("polyphon_adapter_loads_total{outcome=\"ok\"}")).isEqualTo(1);
        assertThat(value("polyphon_adapter_loads_total{outcome=\"failed\"}")).isEqualTo(1);
        assertThat(value("polyphon_adapter_load_duration_seconds_count")).isEqualTo(2);
        assertThat(value("polyphon_sequences_waiting")).isEqualTo(3);
        assertThat(value("polyphon_kv_blocks")).isEqualTo(100);
        assertThat(value("polyphon_kv_blocks_used")).isEqualTo(42);
        assertThat(value("polyphon_adapters_loaded_bytes")).isEqualTo(4096);
        assertThat(value("polyphon_adapters_registered")).isEqualTo(2);
        assertThat(server.get("/metrics").body()).contains("jvm_memory_used_bytes");
    }

    @Test
    void speaksTheFormatsOfScrapers() throws Exception {
        complete("french");
        assertThat(server.get("/metrics").header("Content-Type")).startsWith("text/plain");
        assertThat(server.get("/metrics", "Accept", "application/openmetrics-text; version=1.0.0").body()).endsWith("# EOF\n");
        var protobuf = server.get("/metrics", "Accept", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited");
        assertThat(protobuf.header("Content-Type")).startsWith("application/vnd.google.protobuf");
        assertThat(protobuf.body()).contains("polyphon_time_to_first_token_seconds");
        try (var client = java.net.http.HttpClient.newHttpClient()) {
            var packed = client.send(server.request("/metrics", "Accept-Encoding", "gzip").build(), HttpResponse.BodyHandlers.ofByteArray());
            assertThat(unpacked(packed.body())).contains("polyphon_requests_total");
        }
    }

    private static String unpacked(byte[] gzip) throws IOException {
        return new String(new GZIPInputStream(new java.io.ByteArrayInputStream(gzip)).readAllBytes(), java.nio.charset.StandardCharsets.UTF_8);
    }

    @Test
    void tellsHealthAndVersion() {
        assertThat(server.get("/health/live").body()).isEqualTo("{\"status\":\"live\"}");
        for (String path : new String[] {"/health", "/health/ready", "/ping"}) {
            assertThat(server.get(path).status()).isEqualTo(200);
        }
        assertThat(server.get("/version").json().path("version").asText()).matches("[0-9]+\\.[0-9]+\\.[0-9]+.*");
    }
}
