package dev.polyphon.server.http;

import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.ServerChannel;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.util.AsciiString;
import io.netty.util.concurrent.DefaultThreadFactory;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/** Accepts connections and hands their requests to a handler. */
public final class HttpServer implements AutoCloseable {
    /** RFC 9110, section 5.6.7. */
    private static final DateTimeFormatter IMF_FIXDATE = DateTimeFormatter.ofPattern("EEE, dd MMM yyyy HH:mm:ss 'GMT'", Locale.ENGLISH);

    private record Stamp(long second, AsciiString text) {}

    private final HttpSettings settings;
    private final Handler handler;
    private final ErrorFormat errors;
    private final HttpObserver observer;
    private final Map<Channel, Link> links = new ConcurrentHashMap<>();
    /** Null where connections are in the clear. */
    private final Certificates certificates;
    private final EventLoopGroup acceptor;
    private final EventLoopGroup loops;
    private final Channel listening;
    private volatile Stamp stamp = new Stamp(-1, AsciiString.EMPTY_STRING);
    private volatile boolean draining;

    /**
     * Starts to listen.
     *
     * @throws IOException when the address cannot be had, or the certificate not be used
     */
    public static HttpServer start(HttpSettings settings, Handler handler, ErrorFormat errors, HttpObserver observer) throws IOException {
        return new HttpServer(settings, handler, errors, observer);
    }

    private HttpServer(HttpSettings settings, Handler handler, ErrorFormat errors, HttpObserver observer) throws IOException {
        this.settings = settings;
        this.handler = handler;
        this.errors = errors;
        this.observer = observer;
        certificates = settings.tls() == null ? null : new Certificates(settings.tls(), settings.headerTimeout(), observer);
        int threads = settings.ioThreads() > 0 ? settings.ioThreads() : Math.max(1, Runtime.getRuntime().availableProcessors() / 2);
        var io = Epoll.isAvailable() ? EpollIoHandler.newFactory() : NioIoHandler.newFactory();
        Class<? extends ServerChannel> channel = Epoll.isAvailable() ? EpollServerSocketChannel.class : NioServerSocketChannel.class;
        acceptor = new MultiThreadIoEventLoopGroup(1, new DefaultThreadFactory("http-accept", true), io);
        loops = new MultiThreadIoEventLoopGroup(threads, new DefaultThreadFactory("http", true), io);
        var bound = new ServerBootstrap()
                .group(acceptor, loops)
                .channel(channel)
                .option(ChannelOption.SO_BACKLOG, settings.backlog())
                .option(ChannelOption.SO_REUSEADDR, true)
                .childOption(ChannelOption.TCP_NODELAY, true)
                .childOption(ChannelOption.WRITE_BUFFER_WATER_MARK, new WriteBufferWaterMark(settings.writeLow(), settings.writeHigh()))
                .childHandler(new ChannelInitializer<>() {
                    @Override
                    protected void initChannel(Channel child) {
                        connect(child);
                    }
                })
                .bind(new InetSocketAddress(settings.host(), settings.port()))
                .awaitUninterruptibly();
        if (!bound.isSuccess()) {
            shutDown();
            throw new IOException(
                    "cannot listen on " + settings.host() + ":" + settings.port() + ": " + bound.cause().getMessage(), bound.cause());
        }
        listening = bound.channel();
    }

    private void connect(Channel channel) {
        observer.connectionOpened();
        channel.closeFuture().addListener(_ -> {
            links.remove(channel);
            observer.connectionClosed();
        });
        if (links.size() >= settings.maxConnections()) {
            observer.connectionRefused();
            if (certificates == null) {
                Connection connection = Negotiation.http1(this, channel);
                channel.eventLoop().execute(connection::turnAway);
            } else {
                // To say why would take a handshake first.
                channel.close();
            }
        } else {
            if (certificates != null) {
                channel.pipeline().addLast(certificates.handler(channel.alloc()));
            }
            var negotiation = new Negotiation(this);
            channel.pipeline().addLast(negotiation);
            speaks(channel, negotiation);
        }
    }

    /** Notes who is in charge of a connection from now on. */
    void speaks(Channel channel, Link link) {
        links.put(channel, link);
        if (draining) {
            channel.eventLoop().execute(link::drain);
        }
    }

    public InetSocketAddress address() {
        return (InetSocketAddress) listening.localAddress();
    }

    /** Takes no further connections, and no further requests on those there are: each is closed behind the answer under way. */
    public void stopAccepting() {
        draining = true;
        listening.close().awaitUninterruptibly();
        links.forEach((channel, link) -> channel.eventLoop().execute(link::drain));
    }

    /** Waits until all connections are closed; false when they were not within the limit. Call {@link #stopAccepting} first. */
    public boolean awaitClosed(Duration limit) throws InterruptedException {
        long end = System.nanoTime() + limit.toNanos();
        while (!links.isEmpty()) {
            if (System.nanoTime() - end > 0) {
                return false;
            }
            Thread.sleep(10);
        }
        return true;
    }

    /** Cuts what is still open. */
    @Override
    public void close() {
        draining = true;
        listening.close().awaitUninterruptibly();
        links.keySet().forEach(channel -> channel.close().awaitUninterruptibly());
        shutDown();
    }

    private void shutDown() {
        if (certificates != null) {
            certificates.close();
        }
        acceptor.shutdownGracefully(0, 5, TimeUnit.SECONDS);
        loops.shutdownGracefully(0, 5, TimeUnit.SECONDS);
        acceptor.terminationFuture().awaitUninterruptibly();
        loops.terminationFuture().awaitUninterruptibly();
    }

    HttpSettings settings() {
        return settings;
    }

    Handler handler() {
        return handler;
    }

    ErrorFormat errors() {
        return errors;
    }

    HttpObserver observer() {
        return observer;
    }

    boolean draining() {
        return draining;
    }

    /** The value of the Date header, made anew once a second. */
    AsciiString date() {
        long second = System.currentTimeMillis() / 1000;
        Stamp last = stamp;
        if (last.second != second) {
            var time = Instant.ofEpochSecond(second).atOffset(ZoneOffset.UTC);
            last = new Stamp(second, AsciiString.of(IMF_FIXDATE.format(time)));
            stamp = last;
        }
        return last.text;
    }
}
