package dev.polyphon.engine.pool.source;

import dev.polyphon.runtime.AdapterSource;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * A repository of a hub: {@code ENDPOINT/ORGANISATION/NAME/resolve/REVISION/FILE}. The hub's own answer, before it redirects to where the bytes are,
 * names the commit ({@code X-Repo-Commit}) and, of large files, the SHA-256 ({@code X-Linked-Etag}), as huggingface_hub reads them. All files are taken
 * from the commit that the first one came from.
 */
final class HubOrigin implements Origin {
    private static final int MOST_REDIRECTS = 10;
    private static final Pattern COMMIT = Pattern.compile("[0-9a-f]{40}|[0-9a-f]{64}");
    private static final Pattern SHA_256 = Pattern.compile("[0-9a-f]{64}");

    private final Transport transport;
    private final SourceOptions.Hub hub;
    private AdapterSource.Hub source;

    HubOrigin(Transport transport, SourceOptions.Hub hub, AdapterSource.Hub source) {
        this.transport = transport;
        this.hub = hub;
        this.source = source;
    }

    @Override
    public AdapterSource source() {
        return source;
    }

    @Override
    public Optional<Incoming> open(String name, long from, String tag) throws IOException, InterruptedException {
        String base = hub.endpoint().toString().replaceAll("/+$", "");
        URI address = URI.create(base + "/" + source.repository() + "/resolve/" + URLEncoder.encode(source.revision(), StandardCharsets.UTF_8) + "/" + name);
        String commit = null;
        String etag = null;
        for (int hop = 0; hop <= MOST_REDIRECTS; hop++) {
            Map<String, String> headers = new HashMap<>(Map.of("Accept-Encoding", "identity"));
            if (from > 0 && tag != null) {
                headers.put("Range", "bytes=" + from + "-");
            }
            if (hub.token() != null && Transport.sameOrigin(address, hub.endpoint()) && Transport.isPrivateChannel(address)) {
                headers.put("Authorization", "Bearer " + hub.token());
            }
            HttpResponse<InputStream> response = transport.get(address, headers);
            commit = commit != null ? commit : response.headers().firstValue("X-Repo-Commit").filter(COMMIT.asMatchPredicate()).orElse(null);
            etag = etag != null ? etag : response.headers().firstValue("X-Linked-Etag").orElse(null);
            switch (response.statusCode()) {
                case 301, 302, 303, 307, 308 -> {
                    response.body().close();
                    address = target(address, response);
                    continue;
                }
                case 200, 206 -> {}
                case 404 -> {
                    response.body().close();
                    return Optional.empty();
                }
                case 416 -> {
                    response.body().close();
                    return open(name, 0, null);
                }
                default -> {
                    response.body().close();
                    throw failure(response);
                }
            }
            etag = plain(etag != null ? etag : response.headers().firstValue("ETag").orElse(null));
            if (response.statusCode() == 206 && !Objects.equals(tag, etag)) {
                response.body().close();
                return open(name, 0, null);
            }
            if (commit != null) {
                source = new AdapterSource.Hub(source.repository(), commit);
            }
            return Optional.of(Transport.incoming(response, etag, etag != null && SHA_256.matcher(etag).matches() ? etag : null));
        }
        throw new IOException("the hub redirects more than " + MOST_REDIRECTS + " times");
    }

    private IOException failure(HttpResponse<?> response) {
        String word = response.headers().firstValue("X-Error-Code").map(code -> " (" + code + ")").orElse("");
        String answer = "the hub answers " + response.statusCode() + word;
        return switch (response.statusCode()) {
            case 401, 403 -> new IOException(answer + (hub.token() == null
                    ? ": there is no such repository, or it is a private or gated one and the server has no token for the hub"
                    : ": the server's token does not give access"));
            case 429, 500, 502, 503, 504 -> new BrokenTransferException(answer);
            default -> new IOException(answer);
        };
    }

    private static String plain(String etag) {
        return etag == null ? null : etag.replaceFirst("^W/", "").replace("\"", "");
    }

    private static URI target(URI from, HttpResponse<?> response) throws IOException {
        String location = response.headers().firstValue("Location").orElseThrow(() -> new IOException("the hub redirects without a Location"));
        try {
            URI target = from.resolve(location);
            boolean stepsDown = "https".equals(from.getScheme()) && !"https".equals(target.getScheme());
            if (stepsDown || target.getHost() == null || !target.getScheme().matches("https?")) {
                throw new IOException("the hub redirects to " + target.getScheme() + "://" + target.getHost() + ", which is not followed");
            }
            return target;
        } catch (IllegalArgumentException e) {
            throw new IOException("the hub redirects to an invalid address", e);
        }
    }
}
