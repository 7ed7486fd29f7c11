package dev.polyphon.server.http;

import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.http2.DefaultHttp2GoAwayFrame;
import io.netty.handler.codec.http2.Http2Error;
import io.netty.util.ReferenceCountUtil;
import io.netty.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A connection of HTTP/2 (RFC 9113): its streams are channels of their own, each with a {@link Connection} that answers its one request. This counts
 * them, so that a connection without any is closed in time, and one that drains when the last has ended.
 */
final class Http2Link extends ChannelInboundHandlerAdapter implements Link {
    private static final Logger LOG = LoggerFactory.getLogger(Http2Link.class);

    private final HttpServer server;
    private ChannelHandlerContext ctx;
    private Future<?> idle;
    private int streams;
    private boolean draining;

    Http2Link(HttpServer server) {
        this.server = server;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext context) {
        ctx = context;
        waitForStreams();
    }

    private void waitForStreams() {
        idle = ctx.executor().schedule(this::close, server.settings().idleTimeout().toMillis(), TimeUnit.MILLISECONDS);
    }

    /** A stream was opened, which ends when its channel closes. */
    void opened(Channel stream) {
        streams++;
        idle.cancel(false);
        stream.closeFuture().addListener(_ -> {
            if (--streams == 0 && ctx.channel().isActive()) {
                if (draining) {
                    close();
                } else {
                    waitForStreams();
                }
            }
        });
    }

    @Override
    public void drain() {
        if (!draining) {
            draining = true;
            ctx.writeAndFlush(new DefaultHttp2GoAwayFrame(Http2Error.NO_ERROR));
            if (streams == 0) {
                close();
            }
        }
    }

    /** Closes; the codec tells the client which streams it has seen. */
    private void close() {
        ctx.close();
    }

    /** What comes here is about the connection as a whole, such as settings and pings, which the codec has answered. */
    @Override
    public void channelRead(ChannelHandlerContext context, Object frame) {
        ReferenceCountUtil.release(frame);
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) {
        idle.cancel(false);
        context.fireChannelInactive();
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
        LOG.debug("{}: {}", context.channel().remoteAddress(), cause.getMessage());
        context.close();
    }
}
