package dev.polyphon.engine.pool.source;

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
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** HTTP (RFC 9110) as the origins need it. Redirects are left to them: the client would send credentials along. */
final class Transport implements AutoCloseable {
    /** What only a request for a part can be answered. */
    private static final Set<Integer> OF_RANGES = Set.of(206, 412, 416);
    private static final Pattern CONTENT_RANGE = Pattern.compile("bytes (\\d{1,18})-\\d{1,18}/(\\d{1,18})");

    private final Duration limit;
    /** Made when first wanted: most servers fetch nothing, and TLS takes a while to set up. */
    private HttpClient client;
    private boolean closed;

    Transport(Duration limit) {
        this.limit = limit;
    }

    private synchronized HttpClient client() throws IOException {
        if (closed) {
            throw new IOException("closed");
        }
        if (client == null) {
            client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).followRedirects(HttpClient.Redirect.NEVER).connectTimeout(limit).build();
        }
        return client;
    }

    HttpResponse<InputStream> get(URI address, Map<String, String> headers) throws IOException, InterruptedException {
        HttpRequest.Builder request = HttpRequest.newBuilder(address).timeout(limit).header("User-Agent", "polyphon");
        headers.forEach(request::header);
        HttpResponse<InputStream> response;
        try {
            response = client().send(request.build(), BodyHandlers.ofInputStream());
        } catch (IOException e) {
            throw new BrokenTransferException(address.getHost() + " cannot be reached: " + (e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage()));
        } catch (IllegalArgumentException e) {
            // The client's own, for a Content-Length that is none.
            throw new BrokenTransferException(address.getHost() + " cannot be reached: its answer is not valid HTTP: " + e.getMessage());
        }
        if (OF_RANGES.contains(response.statusCode()) && headers.keySet().stream().noneMatch("range"::equalsIgnoreCase)) {
            // An origin that asks again without a range would do so for ever.
            response.body().close();
            throw new IOException(address.getHost() + " answers " + response.statusCode() + " to a request for a whole file");
        }
        return response;
    }

    /** An answer's body, which is whole or goes on where it was asked to. */
    static Origin.Incoming incoming(HttpResponse<InputStream> response, String tag, String sha256) throws IOException {
        if (response.statusCode() == 200) {
            return new Origin.Incoming(response.body(), 0, length(response), tag, sha256);
        }
        String range = response.headers().firstValue("Content-Range").orElse("none");
        Matcher matcher = CONTENT_RANGE.matcher(range);
        if (!matcher.matches()) {
            response.body().close();
            throw new IOException("the answer's Content-Range is " + range);
        }
        return new Origin.Incoming(response.body(), Long.parseLong(matcher.group(1)), Long.parseLong(matcher.group(2)), tag, sha256);
    }

    /** The length that is told, or -1. Not firstValueAsLong: it throws an unchecked exception at a value that is no number. */
    private static long length(HttpResponse<InputStream> response) throws IOException {
        String text = response.headers().firstValue("Content-Length").orElse(null);
        if (text != null && !text.matches("\\d{1,18}")) {
            response.body().close();
            throw new IOException("the answer's Content-Length is " + text);
        }
        return text == null ? -1 : Long.parseLong(text);
    }

    static boolean sameOrigin(URI a, URI b) {
        return Objects.equals(a.getScheme(), b.getScheme()) && a.getHost().equalsIgnoreCase(b.getHost()) && port(a) == port(b);
    }

    private static int port(URI address) {
        return address.getPort() >= 0 ? address.getPort() : "https".equals(address.getScheme()) ? 443 : 80;
    }

    /** Whether secrets may be sent there: encrypted, or to this machine. */
    static boolean isPrivateChannel(URI address) throws UnknownHostException {
        return "https".equals(address.getScheme()) || InetAddress.getByName(address.getHost()).isLoopbackAddress();
    }

    @Override
    public synchronized void close() {
        closed = true;
        if (client != null) {
            client.shutdownNow();
        }
    }
}
