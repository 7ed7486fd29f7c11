package dev.polyphon.server.cli.batch;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.client.PolyphonClient;
import dev.polyphon.client.Reply;
import java.io.IOException;
import java.net.ConnectException;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpTimeoutException;
import java.time.Duration;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Sends a batch's requests, so many at once, and writes their answers down as they come. A virtual thread for each request under way asks, and asks again;
 * the thread that calls {@link #run} alone writes.
 */
public final class BatchRun {
    private final PolyphonClient client;
    private final BatchInput input;
    private final BatchOutput output;
    private final BatchSettings settings;
    private final Listener listener;
    private final BlockingQueue<Outcome> outcomes;
    private final AtomicLong answered = new AtomicLong();
    private final AtomicInteger retries = new AtomicInteger();
    /** When a server that is out of service wants the next request, in {@link System#nanoTime}. */
    private final AtomicLong notBefore = new AtomicLong(System.nanoTime());
    private int done;
    private int failed;
    private long promptTokens;
    private long completionTokens;

    /** Hears how it goes, on the thread that runs. */
    public interface Listener {
        void started(int done, int total);

        /** @param line a line that was just written */
        void at(int done, JsonNode line);
    }

    /**
     * What came of it.
     *
     * @param total requests in the input
     * @param before of them those that had their line before
     * @param done of them those that have their line now
     * @param failed of the lines now there those that tell of a failure
     * @param retries further tries
     */
    public record Summary(int total, int before, int done, int failed, int retries, long promptTokens, long completionTokens) {}

    private sealed interface Outcome {
        /** A line to write. */
        record Answer(ObjectNode line) implements Outcome {}

        /** Nothing more can be asked. */
        record End(IOException why) implements Outcome {}
    }

    public BatchRun(PolyphonClient client, BatchInput input, BatchOutput output, BatchSettings settings, Listener listener) {
        this.client = client;
        this.input = input;
        this.output = output;
        this.settings = settings;
        this.listener = listener;
        outcomes = new ArrayBlockingQueue<>(settings.concurrency());
        done = output.done().size();
        failed = output.failed();
    }

    /**
     * Runs to the end, once. What it throws leaves an output that another run can go on with.
     *
     * @throws IOException when the server is not there for longer than the retries last, refuses the key, or a file fails
     * @throws InterruptedException when its thread was interrupted
     */
    public Summary run() throws IOException, InterruptedException {
        int before = done;
        int total = input.ids().size();
        listener.started(before, total);
        ExecutorService askers = Executors.newVirtualThreadPerTaskExecutor();
        try {
            for (int i = 0; i < Math.min(settings.concurrency(), total - before); i++) {
                askers.execute(this::askAll);
            }
            while (done < total) {
                switch (outcomes.take()) {
                    case Outcome.Answer answer -> write(answer.line);
                    case Outcome.End end -> throw end.why;
                }
            }
        } finally {
            askers.shutdownNow();
            for (Outcome late = outcomes.poll(); late != null; late = outcomes.poll()) {
                if (late instanceof Outcome.Answer answer) {
                    write(answer.line);
                }
            }
            askers.close();
        }
        return new Summary(total, before, total, failed, retries.get(), promptTokens, completionTokens);
    }

    private void write(ObjectNode line) throws IOException {
        output.add(line);
        done++;
        failed += BatchOutput.failed(line) ? 1 : 0;
        JsonNode usage = line.path("response").path("body").path("usage");
        promptTokens += usage.path("prompt_tokens").asLong();
        completionTokens += usage.path("completion_tokens").asLong();
        listener.at(done, line);
    }

    private void askAll() {
        try {
            try {
                for (BatchInput.Line line = next(); line != null; line = next()) {
                    outcomes.put(new Outcome.Answer(ask(line)));
                }
            } catch (IOException e) {
                outcomes.put(new Outcome.End(e));
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** The next request that has no line yet. */
    private BatchInput.Line next() throws IOException {
        synchronized (input) {
            BatchInput.Line line = input.next();
            while (line != null && output.done().contains(line.customId())) {
                line = input.next();
            }
            return line;
        }
    }

    private ObjectNode ask(BatchInput.Line line) throws IOException, InterruptedException {
        var tries = new Tries(settings.retries(), answered.get());
        while (true) {
            await(notBefore.get());
            Reply reply = null;
            IOException lost = null;
            try {
                reply = client.post(line.url(), line.body(), settings.timeout());
                if (reply.status() == 401) {
                    throw new Refused("the server takes no such key: " + message(reply));
                }
                if (!later(reply.status())) {
                    answered.incrementAndGet();
                    return line(line.customId(), reply);
                }
            } catch (Refused e) {
                throw e;
            } catch (IOException e) {
                lost = e;
            }
            Optional<Duration> told = reply == null ? Optional.empty() : reply.retryAfter();
            boolean again = tries.failed(reply != null && reply.status() == 429, answered.get());
            if (!again || told.isPresent() && told.get().compareTo(settings.longestWait()) > 0) {
                if (reply != null) {
                    return line(line.customId(), reply);
                }
                if (lost instanceof ConnectException || lost instanceof HttpConnectTimeoutException) {
                    throw new IOException("nothing answers any more: is the server running?", lost);
                }
                return line(line.customId(), lost);
            }
            retries.incrementAndGet();
            long ready = System.nanoTime() + told.orElse(Duration.ZERO).toNanos();
            if (reply != null && reply.status() == 503) {
                // That is for all; one that is too many waits alone, and the others keep the server busy.
                notBefore.accumulateAndGet(ready, (a, b) -> a - b > 0 ? a : b);
            }
            // Half of it random, so that those which failed together do not come again together.
            Duration backoff = told.isPresent() ? settings.backoff() : settings.backoff(tries.failures());
            Thread.sleep((long) ((0.5 + 0.5 * ThreadLocalRandom.current().nextDouble()) * backoff.toMillis()));
            await(ready);
        }
    }

    /** @param time in {@link System#nanoTime} */
    private static void await(long time) throws InterruptedException {
        for (long left = time - System.nanoTime(); left > 0; left = time - System.nanoTime()) {
            Thread.sleep(Duration.ofNanos(left));
        }
    }

    /** Whether it is the moment that is wrong, not the request. */
    private static boolean later(int status) {
        return status == 429 || status >= 500 && status != 501;
    }

    private static ObjectNode line(String customId, Reply reply) {
        ObjectNode line = line(customId);
        line.putObject("response").put("status_code", reply.status()).put("request_id", reply.requestId()).set("body", reply.body());
        return line.putNull("error");
    }

    private static ObjectNode line(String customId, IOException lost) {
        ObjectNode line = line(customId).putNull("response");
        line.putObject("error").put("code", lost instanceof HttpTimeoutException ? "timeout" : "connection_lost")
                .put("message", lost.getMessage() == null ? lost.toString() : lost.getMessage());
        return line;
    }

    private static ObjectNode line(String customId) {
        return JsonNodeFactory.instance.objectNode().put("id", "batch_req_" + UUID.randomUUID().toString().replace("-", "")).put("custom_id", customId);
    }

    /** What a failed answer says of why. */
    static String message(Reply reply) {
        return reply.body().at("/error/message").asText("status " + reply.status());
    }

    /** The server takes no request of this run's. */
    private static final class Refused extends IOException {
        private static final long serialVersionUID = 1;

        Refused(String message) {
            super(message);
        }
    }
}
