package dev.polyphon.server.models;

import dev.polyphon.server.models.Partial.BrokenTransferException;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.Objects;
import java.util.regex.Pattern;

/**
 * Takes files from a hub over HTTP (RFC 9110): follows redirects, and goes on with a Range request where an earlier transfer stopped.
 * The token goes to the hub's own origin alone, never to where the hub redirects to, and never in clear text over a network.
 */
final class HubDownload implements AutoCloseable {
    private static final int MAX_REDIRECTS = 10;
    private static final int MAX_BREAKS = 20;
    private static final Pattern CONTENT_RANGE = Pattern.compile("bytes (\\d{1,18})-(\\d{1,18})/(\\d{1,18}|\\*)");

    private final URI endpoint;
    private final String token;
    private final Duration connectLimit;
    private final Duration stallLimit;
    private final HttpClient client;

    /** @param token null for none */
    HubDownload(URI endpoint, String token, Duration connectLimit, Duration stallLimit) {
        this.endpoint = endpoint;
        this.token = token;
        this.connectLimit = connectLimit;
        this.stallLimit = stallLimit;
        // Redirects are followed here and not by the client, which would send the token along.
        client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).followRedirects(HttpClient.Redirect.NEVER).connectTimeout(connectLimit).build();
    }

    @Override
    public void close() {
        client.shutdownNow();
    }

    /** Fills {@code partial} to its end. A transfer that breaks off is taken up again as long as each try brings some bytes. */
    void fetch(ModelSource.HubFile source, Partial partial, Progress progress) throws IOException, InterruptedException {
        for (int breaks = 0; partial.size() < partial.wanted(); breaks++) {
            var before = partial.size();
            try {
                transfer(source.at(endpoint), partial, progress);
            } catch (BrokenTransferException e) {
                if (partial.size() <= before || breaks >= MAX_BREAKS) {
                    throw e;
                }
                progress.say("    broken off (" + e.getMessage() + "), going on from there");
            }
        }
    }

    private void transfer(URI address, Partial partial, Progress progress) throws IOException, InterruptedException {
        var offset = partial.size();
        var response = get(address, offset);
        try (var body = response.body()) {
            switch (response.statusCode()) {
                case 200 -> {
                    checkLength(response, partial.wanted());
                    partial.discard();
                    offset = 0;
                }
                case 206 -> {
                    checkRange(response, offset, partial.wanted());
                    checkLength(response, partial.wanted() - offset);
                }
                case 416 -> throw new IOException("the file there has no more than " + offset + " bytes");
                case 401, 403 -> throw new IOException("the hub answers " + response.statusCode()
                        + (token == null ? ": if the repository is a private or gated one, set HF_TOKEN" : ": HF_TOKEN does not give access"));
                case 404 -> throw new IOException("the hub answers 404: there is no such file");
                default -> throw new IOException("the hub answers " + response.statusCode());
            }
            progress.start(offset, partial.wanted());
            try (var watch = new StallWatch(stallLimit, body)) {
                try {
                    partial.append(body, size -> {
                        watch.touch();
                        progress.at(size);
                    });
                } catch (BrokenTransferException e) {
                    throw watch.fired() ? new BrokenTransferException("not a byte came in " + stallLimit.toSeconds() + " s") : e;
                }
            }
        } finally {
            progress.finish();
        }
    }

    /** Sends the request on until it is answered by something else than a redirect. */
    private HttpResponse<InputStream> get(URI start, long offset) throws IOException, InterruptedException {
        var address = start;
        for (int hop = 0; hop <= MAX_REDIRECTS; hop++) {
            var request = HttpRequest.newBuilder(address).timeout(connectLimit).header("User-Agent", "polyphon");
            if (offset > 0) {
                request.header("Range", "bytes=" + offset + "-");
            }
            if (token != null && sameOrigin(address, endpoint) && isPrivateChannel(address)) {
                request.header("Authorization", "Bearer " + token);
            }
            var response = send(request.build());
            switch (response.statusCode()) {
                case 301, 302, 303, 307, 308 -> {
                    response.body().close();
                    address = target(address, response);
                }
                default -> {
                    return response;
                }
            }
        }
        throw new IOException("more than " + MAX_REDIRECTS + " redirects");
    }

    private HttpResponse<InputStream> send(HttpRequest request) throws IOException, InterruptedException {
        try {
            return client.send(request, BodyHandlers.ofInputStream());
        } catch (IllegalArgumentException e) {
            // The client's own, for a Content-Length that is none.
            throw new IOException("the answer is not valid HTTP: " + e.getMessage(), e);
        }
    }

    private static URI target(URI from, HttpResponse<?> response) throws IOException {
        var location = response.headers().firstValue("Location").orElseThrow(() -> new IOException("a redirect without a Location"));
        URI target;
        try {
            target = from.resolve(location);
        } catch (IllegalArgumentException e) {
            throw new IOException("a redirect to an invalid address", e);
        }
        var stepsDown = "https".equals(from.getScheme()) && !"https".equals(target.getScheme());
        if (stepsDown || target.getHost() == null || !target.getScheme().matches("https?")) {
            throw new IOException("a redirect to " + target.getScheme() + "://" + target.getHost() + ", which is not followed");
        }
        return target;
    }

    private static void checkLength(HttpResponse<?> response, long expected) throws IOException {
        // Not firstValueAsLong: it throws an unchecked exception at a value that is no number.
        var length = response.headers().firstValue("Content-Length");
        if (length.isPresent() && !length.get().equals(Long.toString(expected))) {
            throw new IOException("the hub wants to send " + length.get() + " bytes where " + expected + " are missing: refused");
        }
    }

    private static void checkRange(HttpResponse<?> response, long offset, long total) throws IOException {
        var value = response.headers().firstValue("Content-Range").orElse("none");
        var range = CONTENT_RANGE.matcher(value);
        if (!range.matches() || Long.parseLong(range.group(1)) != offset || Long.parseLong(range.group(2)) != total - 1) {
            throw new IOException("asked for bytes " + offset + " to " + (total - 1) + ", the hub's Content-Range is " + value + ": refused");
        }
    }

    private static boolean sameOrigin(URI a, URI b) {
        return Objects.equals(a.getScheme(), b.getScheme()) && a.getHost().equalsIgnoreCase(b.getHost()) && port(a) == port(b);
    }

    private static int port(URI address) {
        return address.getPort() >= 0 ? address.getPort() : "https".equals(address.getScheme()) ? 443 : 80;
    }

    private static boolean isPrivateChannel(URI address) throws UnknownHostException {
        return "https".equals(address.getScheme()) || InetAddress.getByName(address.getHost()).isLoopbackAddress();
    }

    /** Closes a stream that a blocked reader waits on once nothing has come for too long: the client's own time limit ends with the header. */
    private static final class StallWatch implements AutoCloseable {
        private final Thread thread;
        private volatile long touched = System.nanoTime();
        private volatile boolean fired;

        StallWatch(Duration limit, Closeable stream) {
            thread = Thread.ofVirtual().name("stall-watch").start(() -> {
                try {
                    for (var left = limit.toNanos(); left > 0; left = limit.toNanos() - (System.nanoTime() - touched)) {
                        Thread.sleep(Duration.ofNanos(left));
                    }
                    fired = true;
                    stream.close();
                } catch (InterruptedException | IOException _) {
                    // The transfer is over, or the reader learns of the failure itself.
                }
            });
        }

        void touch() {
            touched = System.nanoTime();
        }

        boolean fired() {
            return fired;
        }

        @Override
        public void close() {
            thread.interrupt();
        }
    }
}
