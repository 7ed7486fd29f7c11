package dev.polyphon.server.cli.remote;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.client.PolyphonClient;
import dev.polyphon.server.cli.batch.BatchInput;
import dev.polyphon.server.cli.batch.BatchOutput;
import dev.polyphon.server.cli.batch.BatchRun;
import dev.polyphon.server.cli.batch.BatchSettings;
import dev.polyphon.server.models.Progress;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Locale;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;

/** {@code polyphon batch}. */
@Command(name = "batch", mixinStandardHelpOptions = true, sortOptions = false,
        description = {"Has a running server answer a file of requests, in OpenAI's batch format: chat completions, completions and embeddings.",
            "Stopped by Ctrl-C or a failure, the same command goes on where it was: requests whose line is in OUTPUT are not sent again.",
            "The exit status is 0 when all are answered, and 1 when some failed, whose lines say why."})
public final class BatchCommand extends Remote {
    private static final int FAILURES_TOLD = 5;
    private static final Duration BACKOFF = Duration.ofMillis(500);
    private static final Duration LONGEST_BACKOFF = Duration.ofSeconds(30);
    private static final int STOP_SECONDS = 10;

    @Parameters(paramLabel = "INPUT", description = "Lines of {\"custom_id\": ..., \"method\": \"POST\", \"url\": \"/v1/chat/completions\", \"body\": {...}}.")
    private Path inputFile;

    @Parameters(paramLabel = "OUTPUT", description = "Gets a line for each, in the order they are answered.")
    private Path outputFile;

    @Option(names = "--concurrency", paramLabel = "N", description = "Requests under way at once (default: ${DEFAULT-VALUE}).")
    private int concurrency = 16;

    @Option(names = "--retries", paramLabel = "N", description = "Further tries of a request after a lost connection and the statuses 429 and 5xx (default: ${DEFAULT-VALUE}).")
    private int retries = 8;

    @Option(names = "--timeout", paramLabel = "SECONDS", description = "Longest wait for an answer (default: ${DEFAULT-VALUE}).")
    private int timeout = 600;

    @Option(names = "--longest-wait", paramLabel = "SECONDS", description = "A request that the server tells to wait longer than this fails (default: ${DEFAULT-VALUE}).")
    private int longestWait = 300;

    @Option(names = "--retry-failed", description = "Sends those again, too, whose line tells of a failure.")
    private boolean retryFailed;

    @Override
    void run(PolyphonClient client, PrintWriter out) throws IOException {
        require(concurrency >= 1, "--concurrency must be at least 1");
        require(retries >= 0, "--retries must not be negative");
        require(timeout >= 1, "--timeout must be at least 1");
        require(longestWait >= 0, "--longest-wait must not be negative");
        var settings = new BatchSettings(concurrency, retries, Duration.ofSeconds(timeout), BACKOFF, LONGEST_BACKOFF, Duration.ofSeconds(longestWait));
        long start = System.nanoTime();
        var ended = new CountDownLatch(1);
        var stopper = stopper(Thread.currentThread(), ended);
        java.lang.Runtime.getRuntime().addShutdownHook(stopper);
        var shown = new Shown();
        BatchRun.Summary summary;
        try (var input = BatchInput.open(inputFile); var output = BatchOutput.open(outputFile, input.ids(), retryFailed)) {
            summary = new BatchRun(client, input, output, settings, shown).run();
        } catch (IOException e) {
            shown.unfinished();
            throw e;
        } catch (InterruptedException e) {
            shown.unfinished();
            throw new IOException("stopped", e);
        } finally {
            shown.progress.finish();
            ended.countDown();
            keep(stopper);
        }
        print(out, summary, (System.nanoTime() - start) / 1e9);
        if (summary.failed() > 0) {
            out.flush();
            throw new IOException(summary.failed() + " of " + summary.total() + " requests failed: their lines in " + outputFile
                    + " say why, and --retry-failed sends them again");
        }
    }

    private void require(boolean holds, String message) {
        if (!holds) {
            throw new ParameterException(commandLine(), message);
        }
    }

    /** Ctrl-C ends the run first, so that the file is closed behind a whole line. */
    private static Thread stopper(Thread runner, CountDownLatch ended) {
        return new Thread(() -> {
            runner.interrupt();
            try {
                ended.await(STOP_SECONDS, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }, "stop-batch");
    }

    private static void keep(Thread stopper) {
        try {
            java.lang.Runtime.getRuntime().removeShutdownHook(stopper);
        } catch (IllegalStateException e) {
            // It is running: that is why this one ends.
        }
    }

    private void print(PrintWriter out, BatchRun.Summary summary, double seconds) throws IOException {
        if (json) {
            var object = JSON.createObjectNode().put("requests", summary.total()).put("answered", summary.total() - summary.failed()).put("failed", summary.failed())
                    .put("answeredBefore", summary.before()).put("retries", summary.retries()).put("promptTokens", summary.promptTokens())
                    .put("completionTokens", summary.completionTokens()).put("seconds", seconds);
            out.println(JSON.writeValueAsString(object));
            return;
        }
        out.printf(Locale.ROOT, "%d requests: %d answered, %d failed; %d had their line before, %d further tries, %d tokens in and %d out, %.1f s%n",
                summary.total(), summary.total() - summary.failed(), summary.failed(), summary.before(), summary.retries(),
                summary.promptTokens(), summary.completionTokens(), seconds);
    }

    private final class Shown implements BatchRun.Listener {
        private final Progress progress = new Progress(System.err, onTerminal(), Progress.Unit.REQUESTS);
        private int done;
        private int total;
        private int failures;

        @Override
        public void started(int already, int of) {
            done = already;
            total = of;
            progress.start(already, of);
        }

        @Override
        public void at(int now, JsonNode line) {
            done = now;
            progress.at(now);
            JsonNode response = line.path("response");
            boolean answered = response.path("status_code").asInt() == 200;
            if (!answered && failures++ < FAILURES_TOLD) {
                progress.say(line.path("custom_id").asText() + " failed: " + (response.isNull() ? line.at("/error/message").asText()
                        : response.path("status_code").asInt() + " " + response.at("/body/error/message").asText()));
            }
        }

        void unfinished() {
            if (total > 0) {
                progress.say(done + " of " + total + " requests have their line in " + outputFile + "; the same command goes on from there");
            }
        }
    }
}
