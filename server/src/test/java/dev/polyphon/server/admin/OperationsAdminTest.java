package dev.polyphon.server.admin;

import static dev.polyphon.server.Eventually.eventually;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.runtime.AdapterOperation;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.server.TestServer;
import dev.polyphon.server.openai.Fields;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Operations as operators see them; what they compute is the runtime's matter. */
class OperationsAdminTest {
    private static final String ALL = "/admin/v1/operations";
    private static final String COMBINE = "{\"operation\": \"combine\", \"adapters\": [\"french\", {\"id\": \"german\", \"weight\": -0.5}], \"to\": \"both\"}";

    @TempDir
    private Path folder;

    private TestServer server;
    private final Semaphore steps = new Semaphore(0);
    private final BlockingQueue<AdapterOperation> begun = new LinkedBlockingQueue<>();

    @BeforeEach
    void start() {
        server = new TestServer("operations.folder=" + folder, "operations.waiting=1", "operations.kept=2", "operations.calibrationTokens=16");
        server.runtime.operations = (tenant, operation, to, progress) -> {
            begun.add(operation);
            for (int i = 0; i < 3; i++) {
                progress.at(i, 3);
                steps.acquireUninterruptibly();
            }
            progress.at(3, 3);
            if (to != null) {
                write(to);
            }
            return Map.of("owner", tenant, "ranks", Map.of(8, 2));
        };
    }

    private static void write(Path to) {
        try {
            Files.writeString(Files.createDirectory(to).resolve("adapter_config.json"), "{}");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @AfterEach
    void stop() {
        steps.release(1000);
        server.close();
    }

    private JsonNode show(String id) {
        return server.get(ALL + "/" + id).json();
    }

    private String ask(String body) {
        var asked = server.post(ALL, body);
        assertThat(asked.status()).as(asked.body()).isEqualTo(200);
        return asked.json().path("id").asText();
    }

    private void awaitStatus(String id, String status) {
        eventually(id + " " + status, () -> show(id).path("status").asText().equals(status));
    }

    @Test
    void runsAndRegistersWhatItMade() throws Exception {
        String id = ask(COMBINE.replace("\"to\"", "\"owner\": \"acme\", \"labels\": {\"by\": \"me\"}, \"to\""));
        assertThat(begun.take()).isEqualTo(new AdapterOperation.Combine(List.of(new AdapterWeight("french"), new AdapterWeight("german", -0.5f, null)), "cat", 1,
                "total", 0, 0));
        steps.release(2);
        eventually("two of three are done", () -> show(id).at("/progress/done").asInt() == 2);
        assertThat(show(id).path("status").asText()).isEqualTo("in_progress");
        assertThat(show(id).at("/progress/total").asInt()).isEqualTo(3);
        assertThat(show(id).at("/request/to").asText()).isEqualTo("both");
        steps.release();
        awaitStatus(id, "completed");
        JsonNode result = show(id).path("result");
        assertThat(result.path("owner").asText()).isEqualTo("acme");
        assertThat(result.at("/ranks/8").asInt()).isEqualTo(2);
        assertThat(result.at("/adapter/name").asText()).isEqualTo("both");
        assertThat(server.get("/admin/v1/adapters/both?owner=acme").json().at("/labels/by").asText()).isEqualTo("me");
        assertThat(server.get(ALL).json().at("/data/0/id").asText()).isEqualTo(id);
    }

    @Test
    void cancelsWhatRunsAndWhatWaits() throws Exception {
        String running = ask(COMBINE);
        begun.take();
        String waiting = ask(COMBINE.replace("both", "later"));
        assertThat(show(waiting).path("status").asText()).isEqualTo("queued");
        var refused = server.post(ALL, COMBINE.replace("both", "much later"));
        assertThat(refused.status()).isEqualTo(400);
        refused = server.post(ALL, COMBINE.replace("both", "much-later"));
        assertThat(refused.status()).isEqualTo(429);
        assertThat(refused.header("Retry-After")).isNotNull();
        assertThat(server.post(ALL + "/" + waiting + "/cancel", "{}").json().path("status").asText()).isEqualTo("cancelled");
        assertThat(server.post(ALL + "/" + running + "/cancel", "{}").json().path("status").asText()).isEqualTo("in_progress");
        steps.release(3);
        awaitStatus(running, "cancelled");
        assertThat(server.post(ALL + "/" + running + "/cancel", "{}").json().path("status").asText()).isEqualTo("cancelled");
        assertThat(begun).isEmpty();
        assertThat(server.get("/admin/v1/adapters/both").status()).isEqualTo(404);
        assertThat(folder).isEmptyDirectory();
        assertThat(server.post(ALL + "/op-1/cancel", "{}").error().path("code").asText()).isEqualTo("operation_not_found");
    }

    @Test
    void tellsWhyItFailedAndLeavesNothing() {
        server.runtime.operations = (tenant, operation, to, progress) -> {
            throw RuntimeFault.of(RuntimeFault.Kind.ADAPTER_UNUSABLE, "the ranks differ: 4 and 8");
        };
        String id = ask(COMBINE);
        awaitStatus(id, "failed");
        assertThat(show(id).at("/error/message").asText()).isEqualTo("the ranks differ: 4 and 8");
        assertThat(show(id).at("/error/code").asText()).isEqualTo("adapter_unusable");
        server.runtime.operations = (tenant, operation, to, progress) -> {
            try {
                Files.createDirectory(to);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
            return Map.of();
        };
        String unusable = ask(COMBINE);
        awaitStatus(unusable, "failed");
        assertThat(show(unusable).at("/error/message").asText()).contains("has no adapter_config.json");
        assertThat(folder).as("what could not be registered").isEmptyDirectory();
        server.runtime.operations = (tenant, operation, to, progress) -> {
            throw new IllegalStateException("a fault of the program");
        };
        String fault = ask(COMBINE);
        awaitStatus(fault, "failed");
        assertThat(show(fault).at("/error/code").asText()).isEqualTo("internal_error");
        ask(COMBINE);
        assertThat(server.get(ALL + "/" + id).status()).as("the oldest of more than 2 that ended").isEqualTo(404);
        assertThat(server.get(ALL + "/" + unusable).status()).isEqualTo(200);
    }

    @Test
    void writesModelsUnderTheirNames() {
        server.runtime.operations = (tenant, operation, to, progress) -> {
            write(to);
            return Map.of("changed", 7);
        };
        String merge = "{\"operation\": \"merge\", \"adapters\": [\"french\"], \"type\": \"BF16\", \"to\": \"french-model\"}";
        String id = ask(merge);
        awaitStatus(id, "completed");
        assertThat(show(id).at("/result/written").asText()).isEqualTo(folder.resolve("french-model").toString());
        assertThat(server.get("/admin/v1/adapters/french-model").status()).isEqualTo(404);
        assertThat(server.post(ALL, merge).status()).isEqualTo(409);
        for (String hostile : List.of("../up", "a/b", ".hidden", "/etc/x", "a\\u0000")) {
            assertThat(server.post(ALL, merge.replace("french-model", hostile)).error().path("param").asText()).as(hostile).isEqualTo("to");
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            {"operation": "dance"}                                                   | 400 | operation
            {}                                                                       | 400 | operation
            {"operation": "inspect"}                                                 | 400 | adapter
            {"operation": "inspect", "adapter": "french", "rank": 3}                 | 400 | rank
            {"operation": "inspect", "adapter": "french", "to": "x"}                 | 400 | to
            {"operation": "inspect", "adapter": "nobody"}                            | 404 |
            {"operation": "convert", "adapter": "french"}                            | 400 | to
            {"operation": "convert", "adapter": "french", "to": "german"}            | 409 | to
            {"operation": "convert", "adapter": "french", "to": "org/base-135m"}     | 409 | to
            {"operation": "convert", "adapter": "french", "to": "../x"}              | 400 | name
            {"operation": "svd", "adapter": "french", "to": "x", "energy": 2}        | 400 | energy
            {"operation": "svd", "adapter": "french", "to": "x", "rank": "8"}        | 400 | rank
            {"operation": "prune", "adapter": "french", "to": "x"}                   | 400 | ratio
            {"operation": "prune", "adapter": "french", "to": "x", "ratio": 0.5, "as_rank": 3} | 400 | ratio
            {"operation": "generate", "adapter": "french", "to": "x"}                | 400 | task
            {"operation": "merge", "adapters": [], "to": "x"}                        | 400 | adapters
            {"operation": "merge", "adapters": [{"name": "french"}], "to": "x"}      | 400 | adapters[0].name
            {"operation": "merge", "adapters": ["french"], "to": "x", "type": "Q2"}  | 400 | type
            {"operation": "combine", "adapters": ["french"], "to": "x", "majority_sign": "mean"} | 400 | majority_sign
            {"operation": "align_merge", "first": "french", "second": "german", "to": "x", "calibration": "a text"}     | 400 | calibration
            {"operation": "align_merge", "first": "french", "second": "german", "to": "x", "calibration": [5]}          | 400 | calibration[0]
            {"operation": "align_merge", "first": "french", "second": "german", "to": "x", "calibration": ["a", [1, -2]]} | 400 | calibration[1][1]
            {"operation": "align_merge", "first": "french", "second": "german", "to": "x", "calibration": ["a b c d", "1 2 3 4 5"]} | 400 | calibration
            {"operation": "align_merge", "first": "french", "second": "german", "to": "x", "calibration": [[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[]]} | 400 | calibration
            {"operation": "align_merge", "first": "nobody", "second": "german", "to": "x", "calibration": ["a"]}        | 404 |
            """)
    void refusesAtOnceWhatCannotBe(String body, int status, String param) {
        var refused = server.post(ALL, body);
        assertThat(refused.status()).as(refused.body()).isEqualTo(status);
        assertThat(refused.error().path("param").textValue()).isEqualTo(param);
        assertThat(begun).isEmpty();
    }

    @Test
    void textsToCalibrateOnGoToTheRuntimeAndAreNotShownAgain() throws Exception {
        String id = ask("{\"operation\": \"align_merge\", \"first\": \"french\", \"second\": \"german\", \"to\": \"x\", \"calibration\": [\"a b\", [1, 2, 3]]}");
        assertThat(begun.take()).usingRecursiveComparison().isEqualTo(new AdapterOperation.AlignMerge(new AdapterWeight("french"), new AdapterWeight("german"),
                false, 0.5, List.of(new Prompt.Text("a b", true), new Prompt.Tokens(new int[] {1, 2, 3}))));
        assertThat(show(id).at("/request/calibration_texts").asInt()).isEqualTo(2);
        assertThat(show(id).path("request").has("calibration")).isFalse();
    }

    @Test
    void writesOnlyWhereItMay() {
        try (TestServer without = new TestServer()) {
            var refused = without.post(ALL, COMBINE);
            assertThat(refused.status()).isEqualTo(403);
            assertThat(refused.error().path("message").asText()).contains("operations.folder");
            assertThat(without.post(ALL, "{\"operation\": \"inspect\", \"adapter\": \"french\"}").status()).isEqualTo(200);
        }
        try (TestServer fixed = new TestServer("adapters.loading=false", "operations.folder=" + folder)) {
            assertThat(fixed.post(ALL, COMBINE).status()).isEqualTo(403);
            assertThat(fixed.get(ALL).status()).isEqualTo(200);
        }
    }

    @Test
    void everyOperationIsReadAsItIsWritten() {
        var one = new AdapterWeight("a", 1, "t");
        var some = List.of(new AdapterWeight("a", 0.25f, null), new AdapterWeight("b", -1, "t"));
        Stream.of(new AdapterOperation.Inspect(one), new AdapterOperation.Convert(one), new AdapterOperation.Combine(some, "dare_ties_svd", 0.7, "frequency", 4, -9),
                new AdapterOperation.Svd(one, 3, 0.9), new AdapterOperation.Prune(new AdapterWeight("a"), 0.3, null),
                new AdapterOperation.Prune(new AdapterWeight("a"), null, 2), new AdapterOperation.Quantize(new AdapterWeight("a"), 1),
                new AdapterOperation.AlignMerge(new AdapterWeight("a"), new AdapterWeight("b"), true, 0.4, List.of()),
                new AdapterOperation.AlignMerge(new AdapterWeight("a"), new AdapterWeight("b"), false, 1,
                        List.of(new Prompt.Text("x y", true), new Prompt.Tokens(new int[] {3, 0}))),
                new AdapterOperation.Merge(some, "F16"),
                new AdapterOperation.Merge(some, null), new AdapterOperation.Generate(one))
                .forEach(operation -> assertThat(OperationJson.read(new Fields(OperationJson.write(operation)), 2)).usingRecursiveComparison()
                        .isEqualTo(operation));
    }
}
