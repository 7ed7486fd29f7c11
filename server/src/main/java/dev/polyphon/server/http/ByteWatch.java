package dev.polyphon.server.http;

import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;

/** Sits before the decoder of HTTP/1.1, which says nothing about a header until it is complete. */
final class ByteWatch extends ChannelInboundHandlerAdapter {
    private final Connection connection;

    ByteWatch(Connection connection) {
        this.connection = connection;
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        connection.bytesArrived();
        context.fireChannelRead(message);
    }
}
