package dev.polyphon.server.http;

import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelPipeline;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.handler.codec.ByteToMessageDecoder;
import io.netty.handler.codec.http.HttpDecoderConfig;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.handler.codec.http2.Http2CodecUtil;
import io.netty.handler.codec.http2.Http2FrameCodecBuilder;
import io.netty.handler.codec.http2.Http2MultiplexHandler;
import io.netty.handler.codec.http2.Http2Settings;
import io.netty.handler.codec.http2.Http2StreamFrameToHttpObjectCodec;
import io.netty.util.concurrent.Future;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Looks at a new connection's first bytes: a client that knows that this server speaks HTTP/2, be it from the handshake of TLS, begins with its preface
 * (RFC 9113, section 3.4).
 */
final class Negotiation extends ByteToMessageDecoder implements Link {
    private static final Logger LOG = LoggerFactory.getLogger(Negotiation.class);

    /** What a stream's client may send before it is read. */
    private static final int WINDOW = 256 << 10;

    private final HttpServer server;
    private final ByteBuf preface = Http2CodecUtil.connectionPrefaceBuf();
    private ChannelHandlerContext ctx;
    private Future<?> timeout;

    Negotiation(HttpServer server) {
        this.server = server;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        ctx = context;
        timeout = context.executor().schedule(() -> context.close(), server.settings().headerTimeout().toMillis(), TimeUnit.MILLISECONDS);
    }

    @Override
    protected void decode(ChannelHandlerContext context, ByteBuf in, List<Object> out) {
        int length = Math.min(in.readableBytes(), preface.readableBytes());
        boolean matches = in.slice(in.readerIndex(), length).equals(preface.slice(0, length));
        if (matches && length < preface.readableBytes()) {
            return;
        }
        if (matches) {
            http2(server, context.channel());
        } else {
            http1(server, context.channel());
        }
        context.pipeline().remove(this);
    }

    @Override
    protected void handlerRemoved0(ChannelHandlerContext context) {
        timeout.cancel(false);
        preface.release();
    }

    /** Nothing has been asked. */
    @Override
    public void drain() {
        ctx.close();
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
        // Mostly what a handshake fails with: it is the client's, and tells the server's operator nothing.
        LOG.debug("{}: {}", context.channel().remoteAddress(), cause.getMessage());
        context.close();
    }

    static Connection http1(HttpServer server, Channel channel) {
        HttpSettings settings = server.settings();
        var connection = new Connection(server, false);
        var decoder = new HttpDecoderConfig()
                .setMaxInitialLineLength(settings.maxRequestLine())
                .setMaxHeaderSize(settings.maxHeader())
                .setMaxChunkSize(64 << 10);
        channel.pipeline()
                .addLast(new ByteWatch(connection))
                .addLast(new HttpServerCodec(decoder))
                .addLast(connection);
        server.speaks(channel, connection);
        return connection;
    }

    static void http2(HttpServer server, Channel channel) {
        HttpSettings settings = server.settings();
        var link = new Http2Link(server);
        var codec = Http2FrameCodecBuilder.forServer()
                .initialSettings(Http2Settings.defaultSettings()
                        .maxConcurrentStreams(settings.maxStreams())
                        .maxHeaderListSize(settings.maxHeader())
                        .initialWindowSize(WINDOW))
                .gracefulShutdownTimeoutMillis(0)
                .build();
        ChannelPipeline pipeline = channel.pipeline();
        pipeline.addLast(codec).addLast(new Http2MultiplexHandler(new ChannelInitializer<>() {
            @Override
            protected void initChannel(Channel stream) {
                stream.config().setWriteBufferWaterMark(new WriteBufferWaterMark(settings.writeLow(), settings.writeHigh()));
                stream.pipeline().addLast(new Http2StreamFrameToHttpObjectCodec(true)).addLast(new Connection(server, true));
                link.opened(stream);
            }
        })).addLast(link);
        server.speaks(channel, link);
    }
}
