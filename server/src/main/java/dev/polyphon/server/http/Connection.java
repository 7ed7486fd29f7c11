package dev.polyphon.server.http;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.socket.DuplexChannel;
import io.netty.handler.codec.DecoderException;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.DefaultHttpContent;
import io.netty.handler.codec.http.DefaultHttpHeadersFactory;
import io.netty.handler.codec.http.DefaultHttpResponse;
import io.netty.handler.codec.http.DefaultLastHttpContent;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpHeadersFactory;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.handler.codec.http.TooLongHttpHeaderException;
import io.netty.handler.codec.http.TooLongHttpLineException;
import io.netty.handler.codec.http2.DefaultHttp2ResetFrame;
import io.netty.handler.codec.http2.Http2Error;
import io.netty.handler.codec.http2.Http2Exception;
import io.netty.handler.ssl.SslHandler;
import io.netty.util.AsciiString;
import io.netty.util.ReferenceCountUtil;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One connection of HTTP/1.1, or one stream of HTTP/2, which has one request: reads a request, has it answered, then turns to the next. Requests that
 * arrive meanwhile are held, so answers come in the order of the requests; reading goes on while an answer is under way, because that is how a client's
 * leaving shows.
 */
final class Connection extends ChannelInboundHandlerAdapter implements Link {
    private static final Logger LOG = LoggerFactory.getLogger(Connection.class);

    /** Bytes of later requests that are held before reading stops. */
    private static final int MAX_HELD = 128 << 10;

    /** How long input is still taken and dropped behind an error, so that the client gets to read it instead of a reset. */
    private static final Duration LINGER = Duration.ofSeconds(2);

    /** Names of headers that this program sends, none of which come from outside. */
    private static final Map<String, AsciiString> NAMES = new ConcurrentHashMap<>();

    /** Values are looked at, names need not be. */
    private static final HttpHeadersFactory HEADERS = DefaultHttpHeadersFactory.headersFactory().withNameValidation(false);

    private enum Phase {
        /** Nothing of the next request has arrived. */
        IDLE,
        /** Some of its header has. */
        HEADER,
        BODY,
        /** It is being answered. */
        ANSWERING,
        /** No further request is taken. */
        CLOSING
    }

    private final HttpServer server;
    private final boolean stream;
    private final HttpSettings settings;
    private final ArrayDeque<HttpObject> held = new ArrayDeque<>();
    private final ChannelFutureListener written = this::written;
    private int heldBytes;
    private boolean pumping;

    private ChannelHandlerContext ctx;
    private Deadlines deadlines;
    private Phase phase = Phase.IDLE;
    /** Of the request that is read or answered; null for one whose header cannot be read. */
    private String requestId;
    private RequestReader reader;
    private Exchange exchange;
    /** Where the body goes of a request that is being answered while it comes; null once it is complete. */
    private BodyPipe pipe;
    private boolean pipeFull;
    private Duration patience;
    private boolean headOnly;
    private HttpVersion version = HttpVersion.HTTP_1_1;
    private int unsent;
    private Object owner;
    private Runnable released = () -> {};

    /** @param stream whether this is a stream of HTTP/2 */
    Connection(HttpServer server, boolean stream) {
        this.server = server;
        this.stream = stream;
        this.settings = server.settings();
    }

    // Reading

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        ctx = context;
        deadlines = new Deadlines(context.executor(), this::tooSlow, this::stalled);
        deadlines.read(settings.headerTimeout());
    }

    /** Bytes came in, before they are decoded: the only sign of a header that is never finished. */
    void bytesArrived() {
        if (phase == Phase.IDLE) {
            phase = Phase.HEADER;
            deadlines.read(settings.headerTimeout());
        }
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        held.add((HttpObject) message);
        heldBytes += weight(message);
        pump();
        if (heldBytes > MAX_HELD) {
            context.channel().config().setAutoRead(false);
        }
    }

    /** Takes what has been read up to the end of a request; the rest waits until that is answered. */
    private void pump() {
        if (pumping) {
            return;
        }
        pumping = true;
        try {
            while ((phase != Phase.ANSWERING || pipe != null) && !held.isEmpty()) {
                HttpObject next = held.poll();
                heldBytes -= weight(next);
                try {
                    if (phase != Phase.CLOSING) {
                        take(next);
                    }
                } finally {
                    ReferenceCountUtil.release(next);
                }
            }
        } finally {
            pumping = false;
        }
        if (heldBytes <= MAX_HELD && !pipeFull) {
            ctx.channel().config().setAutoRead(true);
        }
    }

    private static int weight(Object message) {
        return message instanceof HttpContent content ? content.content().readableBytes() : 1024;
    }

    private void take(HttpObject message) {
        if (pipe != null) {
            feed((HttpContent) message);
            return;
        }
        if (message.decoderResult().isFailure()) {
            if (message instanceof HttpRequest) {
                requestId = null;
            }
            switch (message.decoderResult().cause()) {
                case TooLongHttpLineException _ ->
                    refuse(414, "The request line is too long: at most " + settings.maxRequestLine() + " bytes are allowed.");
                case TooLongHttpHeaderException _ ->
                    refuse(431, "The request header is too long: at most " + settings.maxHeader() + " bytes are allowed.");
                case Throwable cause -> refuse(400, "This is not a valid HTTP request: " + cause.getMessage());
            }
            return;
        }
        if (message instanceof HttpRequest head) {
            version = head.protocolVersion();
            requestId = RequestId.of(head.headers().get(RequestId.HEADER));
            reader = new RequestReader(requestId, head, settings.maxBody(), System.nanoTime(), ctx.channel().remoteAddress());
            RequestReader.Refusal refusal = reader.check();
            if (refusal != null) {
                refuse(refusal.status(), refusal.message());
                return;
            }
            headOnly = stream && head.method().equals(HttpMethod.HEAD);
            Request request = reader.request();
            boolean streams = server.handler().streams(request);
            patience = streams && server.handler().openEnded(request) ? settings.streamTimeout() : settings.bodyTimeout();
            refusal = streams ? reader.checkStreamed() : reader.checkLength();
            if (refusal != null) {
                refuse(refusal.status(), refusal.message());
                return;
            }
            phase = Phase.BODY;
            deadlines.read(patience);
            if (HttpUtil.is100ContinueExpected(head)) {
                write(new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.CONTINUE, Unpooled.EMPTY_BUFFER));
            }
            if (streams) {
                pipe = new BodyPipe(() -> ctx.executor().execute(this::pipeDrained));
                dispatch(request, pipe);
                if (message instanceof LastHttpContent end && pipe != null) {
                    feed(end);
                }
                return;
            }
        }
        if (message instanceof HttpContent content && phase == Phase.BODY) {
            if (!reader.add(content.content())) {
                refuse(413, RequestReader.tooLarge(settings.maxBody(), null));
            } else if (message instanceof LastHttpContent) {
                deadlines.readDone();
                RequestReader.Refusal refusal = reader.decode();
                if (refusal == null) {
                    dispatch(reader.request(), null);
                } else {
                    refuse(refusal.status(), refusal.message());
                }
            }
        }
    }

    /** A piece of the body of the request that is being answered. */
    private void feed(HttpContent content) {
        if (content.decoderResult().isFailure()) {
            pipe.fail(new IOException("The body is not valid HTTP: " + content.decoderResult().cause().getMessage()));
            return;
        }
        byte[] piece = new byte[content.content().readableBytes()];
        content.content().readBytes(piece);
        pipeFull = !pipe.add(piece);
        if (content instanceof LastHttpContent) {
            pipe.end();
            pipe = null;
            pipeFull = false;
            deadlines.readDone();
        } else if (pipeFull) {
            ctx.channel().config().setAutoRead(false);
            deadlines.readDone();
        } else {
            deadlines.read(patience);
        }
    }

    private void pipeDrained() {
        if (pipe != null) {
            pipeFull = false;
            deadlines.read(patience);
            pump();
        }
    }

    private void dispatch(Request request, BodyPipe body) {
        phase = Phase.ANSWERING;
        Object context = server.observer().arrived(request);
        Exchange current = new Exchange(this, ctx.channel().eventLoop(), context == null ? request : request.with(context), body, reader.keepAlive());
        exchange = current;
        reader = null;
        try {
            server.handler().handle(current);
        } catch (Throwable e) {
            failed(current, e);
        }
    }

    /** Answers for a handler that failed. */
    void failed(Exchange failing, Throwable cause) {
        LOG.error("{} failed", failing.request().line(), cause);
        if (failing.waiting()) {
            failing.respond(server.errors().error(500, "The server failed to handle this request."));
        } else {
            failing.cut();
        }
    }

    /** Answers a request that could not be read, and closes: where the next one would begin is not known. */
    private void refuse(int status, String message) {
        phase = Phase.CLOSING;
        reader = null;
        Response error = server.errors().error(status, message);
        send(status == 415 ? error.with("Accept-Encoding", Coding.TAKEN) : error, List.of(), false).addListener(_ -> linger());
    }

    private void linger() {
        if (stream) {
            // The answer is whole: the client need not send the rest of its request (RFC 9113, section 8.1).
            ctx.writeAndFlush(new DefaultHttp2ResetFrame(Http2Error.NO_ERROR)).addListener(ChannelFutureListener.CLOSE);
        } else if (ctx.channel() instanceof DuplexChannel duplex && duplex.isActive()) {
            SslHandler tls = ctx.pipeline().get(SslHandler.class);
            if (tls == null) {
                duplex.shutdownOutput();
            } else {
                tls.closeOutbound().addListener(_ -> duplex.shutdownOutput());
            }
            ctx.channel().config().setAutoRead(true);
            deadlines.read(LINGER);
        } else {
            ctx.close();
        }
    }

    // Answering: called by the exchange

    Object owner() {
        return owner;
    }

    void owner(Object who, Runnable whenReleased) {
        released.run();
        owner = who;
        released = whenReleased;
    }

    boolean writable() {
        return ctx.channel().isWritable();
    }

    ByteBuf buffer() {
        return ctx.alloc().buffer();
    }

    /** @param more headers, names and values in turn, before which the response's own go */
    void respond(Response response, List<String> more, boolean keepAlive) {
        send(coded(response), more, keepAlive && pipe == null);
    }

    /** In gzip, where that is worth it and the client takes it. */
    private Response coded(Response response) {
        if (settings.compressFrom() == 0 || response.body().length < settings.compressFrom() || !compressible(response)) {
            return response;
        }
        Response varying = response.with("Vary", "Accept-Encoding");
        return exchange != null && Coding.takesGzip(exchange.request().headers().getAll(HttpHeaderNames.ACCEPT_ENCODING))
                ? varying.withBody(Coding.gzip(response.body())).with("Content-Encoding", "gzip") : varying;
    }

    private static boolean compressible(Response response) {
        String type = response.contentType();
        return !response.headers().containsKey("Content-Encoding")
                && (type.startsWith("text/") || type.startsWith("application/json") || type.startsWith("application/javascript") || type.startsWith("application/openmetrics-text")
                        || type.startsWith("application/yaml") || type.startsWith("image/svg"));
    }

    void begin(int status, String contentType, List<String> more, Map<String, String> own, boolean keepAlive) {
        var head = new DefaultHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.valueOf(status), HEADERS);
        fill(head, contentType, more, own, keepAlive && pipe == null && version.isKeepAliveDefault());
        if (version.isKeepAliveDefault()) {
            HttpUtil.setTransferEncodingChunked(head, true);
        }
        ctx.write(head);
    }

    void write(ByteBuf piece) {
        if (headOnly) {
            piece.release();
        } else {
            write(new DefaultHttpContent(piece));
        }
    }

    void end(Map<String, String> trailers) {
        if (trailers.isEmpty()) {
            write(LastHttpContent.EMPTY_LAST_CONTENT);
        } else {
            var last = new DefaultLastHttpContent(Unpooled.EMPTY_BUFFER);
            trailers.forEach(last.trailingHeaders()::set);
            write(last);
        }
    }

    /** The answer is complete: on to the next request. */
    void ended(Exchange done, boolean keepAlive) {
        exchange = null;
        done.report(server.observer());
        if (pipe != null) {
            // The rest of the body is still to come, and nobody wants it.
            pipe.fail(new IOException("the request was answered before its body had come"));
            pipe = null;
            pipeFull = false;
            phase = Phase.CLOSING;
            if (stream) {
                linger();
            } else {
                ctx.writeAndFlush(Unpooled.EMPTY_BUFFER).addListener(_ -> linger());
            }
            return;
        }
        if (stream) {
            phase = Phase.CLOSING;
            return;
        }
        // An answer without a length to a client of HTTP/1.0 ends with the connection; asking for it to be kept changes nothing then.
        if (!keepAlive || server.draining() || !version.isKeepAliveDefault()) {
            phase = Phase.CLOSING;
            closeWhenSent();
            return;
        }
        phase = Phase.IDLE;
        deadlines.read(settings.idleTimeout());
        pump();
    }

    private ChannelFuture send(Response response, List<String> more, boolean keepAlive) {
        var whole = new DefaultFullHttpResponse(
                HttpVersion.HTTP_1_1, HttpResponseStatus.valueOf(response.status()), headOnly ? Unpooled.EMPTY_BUFFER : Unpooled.wrappedBuffer(response.body()),
                HEADERS, HEADERS);
        fill(whole, response.contentType(), more, response.headers(), keepAlive);
        whole.headers().setInt(HttpHeaderNames.CONTENT_LENGTH, response.body().length);
        return write(whole);
    }

    private void fill(HttpResponse response, String contentType, List<String> more, Map<String, String> own, boolean keepAlive) {
        var fields = response.headers();
        fields.set(HttpHeaderNames.DATE, server.date());
        fields.set(HttpHeaderNames.CONTENT_TYPE, contentType);
        fields.set(RequestId.HEADER, AsciiString.of(requestId == null ? RequestId.fresh() : requestId));
        for (int i = 0; i < more.size(); i += 2) {
            set(fields, more.get(i), more.get(i + 1));
        }
        own.forEach((name, value) -> {
            String before = name.equals("Vary") ? fields.get(HttpHeaderNames.VARY) : null;
            set(fields, name, before == null ? value : before + ", " + value);
        });
        if (!stream && (!keepAlive || server.draining() || !version.isKeepAliveDefault())) {
            fields.set(HttpHeaderNames.CONNECTION, HttpHeaderValues.CLOSE);
        }
    }

    /** As bytes, which are copied as a whole; of a text each character is written by itself. */
    private static void set(HttpHeaders fields, String name, String value) {
        fields.set(NAMES.computeIfAbsent(name, AsciiString::of), AsciiString.of(value));
    }

    private ChannelFuture write(HttpObject message) {
        if (unsent++ == 0) {
            deadlines.write(settings.writeTimeout());
        }
        return ctx.writeAndFlush(message).addListener(written);
    }

    private void written(ChannelFuture future) {
        if (!future.isSuccess()) {
            ctx.close();
        } else if (--unsent == 0) {
            deadlines.writeDone();
        } else {
            deadlines.write(settings.writeTimeout());
        }
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext context) {
        if (exchange != null && writable()) {
            exchange.becameWritable();
        }
    }

    // Ends

    private void closeWhenSent() {
        ctx.writeAndFlush(Unpooled.EMPTY_BUFFER).addListener(ChannelFutureListener.CLOSE);
    }

    /** The client did not finish a request in time, or sent none. */
    private void tooSlow() {
        switch (phase) {
            case HEADER -> {
                server.observer().slowSender();
                refuse(408, "The request's header did not arrive within " + settings.headerTimeout().toMillis() + " ms.");
            }
            case BODY -> {
                server.observer().slowSender();
                refuse(408, "The request's body did not arrive within " + settings.bodyTimeout().toMillis() + " ms.");
            }
            case IDLE, CLOSING -> ctx.close();
            case ANSWERING -> {
                if (pipe != null) {
                    server.observer().slowSender();
                    pipe.fail(new IOException("Nothing more of the body arrived for " + patience.toMillis() + " ms."));
                }
            }
        }
    }

    void cut() {
        ctx.close();
    }

    private void stalled() {
        server.observer().slowReader();
        LOG.debug("{} took nothing for {} ms: disconnected", ctx.channel().remoteAddress(), settings.writeTimeout().toMillis());
        ctx.close();
    }

    /** Says that there is no room for this connection, and closes it. */
    void turnAway() {
        refuse(503, "Too many connections: this server takes at most " + settings.maxConnections() + " at once.");
    }

    @Override
    public void drain() {
        if (phase == Phase.IDLE) {
            phase = Phase.CLOSING;
            closeWhenSent();
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        phase = Phase.CLOSING;
        owner(null, () -> {});
        deadlines.cancel();
        held.forEach(ReferenceCountUtil::release);
        held.clear();
        if (pipe != null) {
            pipe.fail(new IOException("the client closed the connection"));
            pipe = null;
        }
        Exchange cut = exchange;
        exchange = null;
        if (cut != null) {
            cut.abort();
            cut.report(server.observer());
        }
        context.fireChannelInactive();
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
        Throwable reason = cause instanceof DecoderException && cause.getCause() != null ? cause.getCause() : cause;
        if (reason instanceof IOException || reason instanceof Http2Exception || reason.getCause() instanceof Http2Exception) {
            LOG.debug("{}: {}", context.channel().remoteAddress(), cause.getMessage());
        } else {
            LOG.warn("connection to {} failed", context.channel().remoteAddress(), cause);
        }
        context.close();
    }
}
