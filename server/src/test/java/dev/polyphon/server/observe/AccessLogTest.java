package dev.polyphon.server.observe;

import static dev.polyphon.server.Eventually.eventually;
import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.TestServer;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

class AccessLogTest {

    /** What a server of these settings logs of one request with a hostile path and one for tokens. */
    private static List<String> logged(String logger, String... settings) {
        var lines = new CopyOnWriteArrayList<String>();
        var appender = new AppenderBase<ILoggingEvent>() {
            @Override
            protected void append(ILoggingEvent event) {
                lines.add(event.getFormattedMessage());
            }
        };
        appender.start();
        var log = (Logger) LoggerFactory.getLogger(logger);
        log.addAppender(appender);
        log.setLevel(Level.INFO);
        log.setAdditive(false);
        try (var server = new TestServer(settings)) {
            server.get("/no%0a%22such", "X-Request-Id", "mine-1");
            server.post("/v1/completions", "{\"model\":\"french\",\"prompt\":\"a b c\"}");
            eventually("both are logged", () -> lines.size() == 2);
        } finally {
            log.detachAppender(appender);
        }
        return lines;
    }

    @Test
    void writesAnObjectALine() {
        var lines = logged("access.json", "log.access=true", "log.accessFormat=json");
        assertThat(lines).noneMatch(line -> line.contains("\n"));
        var refused = TestServer.parse(lines.getFirst());
        assertThat(refused.path("path").asText()).isEqualTo("/no\n\"such");
        assertThat(refused.path("status").asInt()).isEqualTo(404);
        assertThat(refused.path("requestId").asText()).isEqualTo("mine-1");
        var answer = TestServer.parse(lines.getLast());
        assertThat(answer.path("route").asText()).isEqualTo("/v1/completions");
        assertThat(answer.path("model").asText()).isEqualTo(FakeRuntime.BASE);
        assertThat(answer.path("adapter").asText()).isEqualTo("french");
        assertThat(answer.path("tenant").asText()).isEqualTo("default");
        assertThat(answer.path("completionTokens").asInt()).isEqualTo(3);
        assertThat(answer.path("id").asText()).startsWith("cmpl-");
        assertThat(answer.path("whole").asBoolean()).isTrue();
        assertThat(answer.path("milliseconds").isNumber()).isTrue();
    }

    @Test
    void writesALineToRead() {
        var lines = logged("access", "log.access=true");
        assertThat(lines.getFirst()).contains("\"GET /no?\"such\" 404").endsWith(" mine-1");
        assertThat(lines.getLast()).contains("\"POST /v1/completions\" 200");
    }
}
