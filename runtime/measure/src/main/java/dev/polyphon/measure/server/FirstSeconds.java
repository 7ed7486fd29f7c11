package dev.polyphon.measure.server;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.stream.Stream;

/** How fast a server is right after its start: sixteen streams at once, and the tokens that come in each second. */
final class FirstSeconds {
    private static final int STREAMS = 16;

    private FirstSeconds() {}

    /** Tokens of each second of the load. */
    static int[] run(URI root, String model, int seconds) {
        AtomicIntegerArray tokens = new AtomicIntegerArray(seconds);
        long start = System.nanoTime();
        try (HttpClient client = HttpClient.newHttpClient(); var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            for (int s = 0; s < STREAMS; s++) {
                String body = """
                        {"model": "%s", "prompt": "Stream number %d tells:", "max_tokens": 400, "temperature": 0, "stream": true, "ignore_eos": true}"""
                        .formatted(model, s);
                HttpRequest request = HttpRequest.newBuilder(root.resolve("/v1/completions")).header("Content-Type", "application/json")
                        .POST(HttpRequest.BodyPublishers.ofString(body)).build();
                threads.submit(() -> {
                    while (second(start) < seconds) {
                        count(client, request, start, tokens);
                    }
                    return null;
                });
            }
        }
        int[] each = new int[seconds];
        for (int i = 0; i < seconds; i++) {
            each[i] = tokens.get(i);
        }
        return each;
    }

    /** Reads one answer, or as much of it as there is time for. */
    private static void count(HttpClient client, HttpRequest request, long start, AtomicIntegerArray tokens) throws IOException, InterruptedException {
        HttpResponse<Stream<String>> answer = client.send(request, HttpResponse.BodyHandlers.ofLines());
        if (answer.statusCode() != 200) {
            throw new IOException("the server answers " + answer.statusCode());
        }
        try (var lines = answer.body()) {
            for (String line : (Iterable<String>) lines::iterator) {
                int second = second(start);
                if (second >= tokens.length()) {
                    return;
                }
                if (line.startsWith("data: {")) {
                    tokens.incrementAndGet(second);
                }
            }
        }
    }

    private static int second(long start) {
        return (int) ((System.nanoTime() - start) / 1_000_000_000);
    }
}
