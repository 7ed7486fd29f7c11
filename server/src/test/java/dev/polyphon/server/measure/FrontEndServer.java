package dev.polyphon.server.measure;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.server.PolyphonServer;
import dev.polyphon.server.config.PolyphonConfig;
import dev.polyphon.server.config.Sources;
import dev.polyphon.server.http.HttpObserver;
import dev.polyphon.server.http.HttpServer;
import dev.polyphon.server.http.Router;
import dev.polyphon.server.openai.Admission;
import dev.polyphon.server.openai.ApiError;
import dev.polyphon.server.openai.ApiObserver;
import dev.polyphon.server.openai.OpenAiApi;
import dev.polyphon.server.tenant.Role;
import dev.polyphon.server.tenant.Tenants;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpObjectAggregator;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.handler.codec.http.HttpVersion;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** One of the servers that are compared, in a process of its own: it writes its port and the key to ask with, and ends with its input. */
public final class FrontEndServer {

    /** What is compared. */
    enum Kind {
        /** Netty's HTTP codec, which gives every request the same answer. */
        ECHO,
        /** The front end without tenants, quotas and metrics. */
        BARE,
        /** With metrics, as it is when it has no tenants. */
        METRICS,
        /** With tenants, keys, limits of every kind, usage and metrics. */
        ALL
    }

    private FrontEndServer() {}

    public static void main(String[] arguments) throws Exception {
        switch (Kind.valueOf(arguments[0])) {
            case ECHO -> echo();
            case BARE -> bare();
            case METRICS -> ready(new PolyphonServer(config(null), new InstantRuntime()).address().getPort(), "none");
            case ALL -> all();
        }
        while (System.in.read() >= 0) {
            continue;
        }
        // Nothing has to be finished, and threads must not keep it up.
        Runtime.getRuntime().halt(0);
    }

    private static void ready(int port, String key) {
        System.out.println(port + " " + key);
    }

    private static PolyphonConfig config(Path store) {
        Map<String, String> values = new HashMap<>(Map.of("server.port", "0"));
        if (store != null) {
            values.put("tenants.store", store.toString());
        }
        return PolyphonConfig.read(Sources.of(null, Map.of(), values));
    }

    private static void all() throws IOException {
        var server = new PolyphonServer(config(Files.createTempDirectory("polyphon-front-end")), new InstantRuntime());
        Tenants tenants = server.tenancy().tenants().orElseThrow();
        tenants.create("acme", (ObjectNode) new ObjectMapper().readTree("""
                {"limits": {"requests_per_minute": 1000000000, "tokens_per_minute": 100000000000, "tokens_per_day": 1000000000000,
                "concurrent_requests": 1000, "connections": 1000}}"""));
        ready(server.address().getPort(), tenants.createKey("acme", Role.TENANT, "measure", null).text());
    }

    private static void bare() throws IOException {
        PolyphonConfig config = config(null);
        var router = new Router((status, message) -> ApiError.transport(status, message).response());
        OpenAiApi.addTo(router, new InstantRuntime(), config.limits(), config.embeddings(), config.adapters(), new Admission(), ApiObserver.NONE);
        ready(HttpServer.start(config.http(), router, (status, message) -> ApiError.transport(status, message).response(), HttpObserver.NONE).address().getPort(), "none");
    }

    private static void echo() {
        boolean epoll = Epoll.isAvailable();
        var io = epoll ? EpollIoHandler.newFactory() : NioIoHandler.newFactory();
        byte[] answer = ("{\"id\":\"" + "x".repeat(420) + "\"}").getBytes(StandardCharsets.US_ASCII);
        Channel listening = new ServerBootstrap()
                .group(new MultiThreadIoEventLoopGroup(1, io), new MultiThreadIoEventLoopGroup(Math.max(1, Runtime.getRuntime().availableProcessors() / 2), io))
                .channel(epoll ? EpollServerSocketChannel.class : NioServerSocketChannel.class)
                .childOption(ChannelOption.TCP_NODELAY, true)
                .childHandler(new ChannelInitializer<>() {
                    @Override
                    protected void initChannel(Channel channel) {
                        channel.pipeline().addLast(new HttpServerCodec(), new HttpObjectAggregator(1 << 20), new SimpleChannelInboundHandler<FullHttpRequest>() {
                            @Override
                            protected void channelRead0(ChannelHandlerContext context, FullHttpRequest request) {
                                var response = new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.OK, Unpooled.wrappedBuffer(answer));
                                response.headers().set(HttpHeaderNames.CONTENT_TYPE, "application/json").setInt(HttpHeaderNames.CONTENT_LENGTH, answer.length);
                                context.writeAndFlush(response);
                            }
                        });
                    }
                })
                .bind(InetAddress.getLoopbackAddress(), 0).syncUninterruptibly().channel();
        ready(((InetSocketAddress) listening.localAddress()).getPort(), "none");
    }
}
