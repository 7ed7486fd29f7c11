package dev.polyphon.server.http;

import io.netty.buffer.ByteBuf;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.QueryStringDecoder;
import java.io.IOException;
import java.net.SocketAddress;
import java.util.Arrays;

/** Collects one request: checks its header, then takes its body up to the limit. */
final class RequestReader {
    /** Why a request is not read on. */
    record Refusal(int status, String message) {}

    private static final byte[] EMPTY = {};
    private static final String IDENTITY = "identity";

    /** Memory taken on the mere announcement of a body; more only when it comes. */
    private static final int FIRST_PIECE = 16 << 10;

    private final String id;
    private final HttpRequest head;
    private final int maxBody;
    private final long received;
    private final SocketAddress remote;
    private QueryStringDecoder target;
    private String coding = IDENTITY;
    private byte[] body = EMPTY;
    private int length;

    RequestReader(String id, HttpRequest head, int maxBody, long received, SocketAddress remote) {
        this.id = id;
        this.head = head;
        this.maxBody = maxBody;
        this.received = received;
        this.remote = remote;
    }

    /** What is wrong with the header, or null. */
    Refusal check() {
        HttpVersion version = head.protocolVersion();
        if (version.majorVersion() != 1 || version.minorVersion() > 1) {
            return new Refusal(505, "HTTP version " + version + " is not supported: use HTTP/1.1.");
        }
        if (version.minorVersion() == 1 && head.headers().getAll(HttpHeaderNames.HOST).size() != 1) {
            return new Refusal(400, "An HTTP/1.1 request must have exactly one Host header (RFC 9112, section 3.2).");
        }
        String expect = head.headers().get(HttpHeaderNames.EXPECT);
        if (expect != null && !HttpUtil.is100ContinueExpected(head) && version.minorVersion() == 1) {
            return new Refusal(417, "The only expectation supported is 100-continue, found '" + expect + "'.");
        }
        coding = head.headers().get(HttpHeaderNames.CONTENT_ENCODING, IDENTITY);
        if (coded() && !Coding.known(coding)) {
            return new Refusal(415, "Content-Encoding '" + coding + "' is not supported: send the body as it is, or with one of " + Coding.TAKEN + ".");
        }
        try {
            target = new QueryStringDecoder(origin(head.uri()));
            target.path();
            target.parameters();
        } catch (IllegalArgumentException e) {
            return new Refusal(400, "The request target is not valid: " + e.getMessage());
        }
        return null;
    }

    private boolean coded() {
        return !coding.equalsIgnoreCase(IDENTITY);
    }

    /** What is wrong with a body that is to be read as it comes, or null. */
    Refusal checkStreamed() {
        return coded() ? new Refusal(415, "Content-Encoding '" + coding + "' is not supported here, where bodies are read as they come: send it as it is.") : null;
    }

    /** Undoes the coding of a body that has come; what is wrong with it, or null. */
    Refusal decode() {
        if (coded() && length > 0) {
            try {
                byte[] plain = Coding.decoded(coding, Arrays.copyOf(body, length), maxBody);
                if (plain == null) {
                    return new Refusal(413, "The request body is too large: at most " + maxBody + " bytes are allowed, without its Content-Encoding.");
                }
                body = plain;
                length = plain.length;
            } catch (IOException e) {
                return new Refusal(400, "The request body is not valid " + coding + ": " + e.getMessage() + ".");
            }
        }
        return null;
    }

    /** What is wrong with the announced length of a body that is kept in memory, or null. */
    Refusal checkLength() {
        long announced = HttpUtil.getContentLength(head, 0L);
        if (announced > maxBody) {
            return new Refusal(413, tooLarge(maxBody, announced));
        }
        body = announced > 0 ? new byte[(int) Math.min(announced, FIRST_PIECE)] : EMPTY;
        return null;
    }

    static String tooLarge(int maxBody, Long announced) {
        return "The request body is too large: at most " + maxBody + " bytes are allowed" + (announced == null ? "." : ", found " + announced + ".");
    }

    /** Takes a piece of the body, or gives false when that would exceed the limit. */
    boolean add(ByteBuf piece) {
        int size = piece.readableBytes();
        if (size > maxBody - length) {
            return false;
        }
        if (body.length < length + size) {
            body = Arrays.copyOf(body, (int) Math.min(maxBody, Math.max(length + size, 2L * length)));
        }
        piece.readBytes(body, length, size);
        length += size;
        return true;
    }

    boolean keepAlive() {
        return HttpUtil.isKeepAlive(head);
    }

    /** The request as far as it has been read: to the end, or to the end of its header. */
    Request request() {
        byte[] whole = length == body.length ? body : Arrays.copyOf(body, length);
        return new Request(id, head.method().name(), target.path(), target.rawPath(), target.parameters(), head.headers(), whole, remote, null, received);
    }

    /** The path and query of a target in absolute form, which every server must accept (RFC 9112, section 3.2.2). */
    private static String origin(String target) {
        int scheme = target.indexOf("://");
        if (target.startsWith("/") || scheme < 0) {
            return target;
        }
        int slash = target.indexOf('/', scheme + 3);
        return slash < 0 ? "/" : target.substring(slash);
    }
}
