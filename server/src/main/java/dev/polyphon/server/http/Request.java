package dev.polyphon.server.http;

import io.netty.handler.codec.http.HttpHeaders;
import java.net.SocketAddress;
import java.util.List;
import java.util.Map;

/**
 * A request that was read to its end.
 *
 * @param id names it to its client and in the logs: what the client calls it, or made here
 * @param method in upper case; a HEAD request is handled as GET and its body left out
 * @param path percent-decoded, without the query
 * @param rawPath as sent, without the query: a slash in it parts segments, one that was encoded does not
 * @param query parameters of the query, percent-decoded
 * @param headers names are found in any case
 * @param body empty when there is none; owned by the request
 * @param remote the client's address
 * @param context what the {@link HttpObserver} keeps with it; null for nothing
 * @param received {@link System#nanoTime()} when the header had been read
 */
public record Request(
        String id, String method, String path, String rawPath, Map<String, List<String>> query, HttpHeaders headers, byte[] body, SocketAddress remote, Object context, long received) {

    /** Method and path on one line, for logs: whatever could start another line is replaced. */
    public String line() {
        return (method + " " + path).replaceAll("\\p{Cntrl}|[\u2028\u2029]", "?");
    }

    /** The same, received at another time: one of several requests in one. */
    public Request receivedAt(long time) {
        return new Request(id, method, path, rawPath, query, headers, body, remote, context, time);
    }

    /** The same, with what an observer keeps. */
    Request with(Object kept) {
        return new Request(id, method, path, rawPath, query, headers, body, remote, kept, received);
    }

    /** The header's first value, or null. */
    public String header(String name) {
        return headers.get(name);
    }
}
