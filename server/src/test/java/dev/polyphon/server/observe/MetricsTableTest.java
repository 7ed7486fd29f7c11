package dev.polyphon.server.observe;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.TestServer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** Holds {@code docs/metrics.md} to what a server shows: every metric has a row with its type, labels and help, and every row is of a metric. */
class MetricsTableTest {
    private static final Path TABLE = Path.of("..", "docs", "metrics.md");
    private static final Pattern SAMPLE = Pattern.compile("([\\w:]+?)(?:\\{(.*)})? \\S+");
    private static final Pattern LABEL = Pattern.compile("(\\w+)=\"(?:[^\"\\\\]|\\\\.)*\"");

    /** A metric as a scrape shows it. */
    private static final class Metric {
        String help = "";
        String type = "";
        final Set<String> labels = new TreeSet<>();
    }

    private static Map<String, Metric> metrics(List<String> scrape) {
        var metrics = new TreeMap<String, Metric>();
        String name = "";
        for (String line : scrape) {
            if (line.startsWith("# ")) {
                String[] words = line.split(" ", 4);
                name = words[2];
                Metric metric = metrics.computeIfAbsent(name, _ -> new Metric());
                if (words[1].equals("HELP")) {
                    metric.help = words[3];
                } else {
                    metric.type = words[3];
                }
            } else {
                var sample = SAMPLE.matcher(line);
                assertThat(sample.matches()).as(line).isTrue();
                var label = LABEL.matcher(sample.group(2) == null ? "" : sample.group(2));
                while (label.find()) {
                    metrics.get(name).labels.add(label.group(1));
                }
                metrics.get(name).labels.remove("le");
            }
        }
        return metrics;
    }

    /** Makes everything happen that has a metric. */
    private static void live(TestServer server) {
        for (String model : List.of(FakeRuntime.BASE, "french")) {
            server.post("/v1/completions", "{\"model\":\"" + model + "\",\"prompt\":\"a b c\"}");
        }
        server.runtime.tell(o -> o.step(new RuntimeObserver.Step(Duration.ofMillis(7), 16, 5, 12, 40)));
        server.runtime.tell(o -> o.admitted("t", Duration.ofMillis(300)));
        server.runtime.tell(RuntimeObserver::stepFailed);
        server.runtime.tell(o -> o.sequenceFailed("t"));
        server.runtime.tell(o -> o.preempted("t"));
        server.runtime.tell(o -> o.expired("t"));
        server.runtime.tell(o -> o.adapterLoad("french", Duration.ofMillis(20), true));
        server.runtime.tell(o -> o.adapterDamaged("french"));
    }

    @Test
    void everyMetricHasItsRow() throws IOException, InterruptedException {
        List<String> shown;
        try (var server = new TestServer("metrics.jvm=false")) {
            live(server);
            server.runtime.manual = true;
            var answer = Thread.startVirtualThread(() -> server.post("/v1/completions", "{\"model\":\"french\",\"prompt\":\"a\"}"));
            var held = server.runtime.held.take();
            held.sink().started(1, 0);
            dev.polyphon.server.Eventually.eventually("a request runs", () -> server.get("/metrics").body().contains("polyphon_tenant_requests_running{"));
            shown = server.get("/metrics").body().lines().toList();
            held.sink().finished(0, "", dev.polyphon.runtime.FinishReason.STOP, 0);
            answer.join();
        }
        var rows = new TreeMap<String, String>();
        metrics(shown).forEach((name, metric) -> rows.put(name, "| `" + name + "` | " + metric.type + " | "
                + String.join(", ", metric.labels) + " | " + metric.help + " |"));
        var documented = new TreeMap<String, String>();
        for (String line : Files.readAllLines(TABLE)) {
            if (line.startsWith("| `")) {
                documented.put(line.substring(3, line.indexOf('`', 3)), line.strip());
            }
        }
        assertThat(documented.values()).as("the rows of docs/metrics.md; it should have\n%s\n", String.join("\n", rows.values()))
                .containsExactlyElementsOf(rows.values());
    }
}
