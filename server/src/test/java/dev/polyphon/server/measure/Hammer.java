package dev.polyphon.server.measure;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Arrays;

/**
 * Asks a server the same thing again and again over kept connections, from one thread that spends as little as it can: either as fast as answers come, or so
 * often a second, in which case time counts from when a request was due, so that a server that falls behind is not spared (coordinated omission).
 */
final class Hammer implements AutoCloseable {
    private static final int LARGEST_ANSWER = 1 << 16;

    /** @param nanos of each request, sorted */
    record Result(double seconds, long[] nanos) {
        double perSecond() {
            return nanos.length / seconds;
        }

        double millis(double quantile) {
            return nanos[(int) Math.min(nanos.length - 1L, (long) (quantile * nanos.length))] / 1e6;
        }
    }

    private static final class Connection {
        final SocketChannel channel;
        final ByteBuffer answer = ByteBuffer.allocate(LARGEST_ANSWER);
        int head = -1;
        int length = -1;
        long begun;

        Connection(SocketChannel channel) {
            this.channel = channel;
        }

        /** Whether a whole answer has come; throws when it is no good one. */
        boolean complete() throws IOException {
            byte[] bytes = answer.array();
            int end = answer.position();
            if (head < 0) {
                head = find(bytes, end);
                if (head < 0) {
                    return false;
                }
                String text = new String(bytes, 0, head, StandardCharsets.ISO_8859_1);
                if (!text.startsWith("HTTP/1.1 200 ")) {
                    throw new IOException("the server answers " + new String(bytes, 0, end, StandardCharsets.UTF_8));
                }
                int at = text.indexOf("\r\ncontent-length: ");
                length = at < 0 ? -1 : Integer.parseInt(text.substring(at + 18, text.indexOf('\r', at + 18)));
            }
            return length >= 0 ? end - head >= length
                    : end - head >= 5 && bytes[end - 5] == '0' && bytes[end - 4] == '\r' && bytes[end - 2] == '\r' && bytes[end - 1] == '\n';
        }

        /** Where the header has ended. */
        private static int find(byte[] bytes, int end) {
            for (int i = 3; i < end; i++) {
                if (bytes[i] == '\n' && bytes[i - 1] == '\r' && bytes[i - 2] == '\n' && bytes[i - 3] == '\r') {
                    return i + 1;
                }
            }
            return -1;
        }
    }

    private final Selector selector = Selector.open();
    private final ArrayDeque<Connection> free = new ArrayDeque<>();
    private final int connections;
    private final ByteBuffer request;
    private long[] nanos = new long[1 << 16];
    private int done;

    Hammer(int port, int connections, byte[] request) throws IOException {
        this.connections = connections;
        this.request = ByteBuffer.wrap(request);
        for (int i = 0; i < connections; i++) {
            SocketChannel channel = SocketChannel.open(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
            channel.socket().setTcpNoDelay(true);
            channel.configureBlocking(false);
            Connection connection = new Connection(channel);
            channel.register(selector, SelectionKey.OP_READ, connection);
            free.add(connection);
        }
    }

    /** @param rate requests a second; 0 for as many as answers come */
    Result run(double seconds, double rate) throws IOException {
        done = 0;
        long start = System.nanoTime();
        long end = start + (long) (seconds * 1e9);
        long sent = 0;
        while (true) {
            long now = System.nanoTime();
            boolean over = now - end >= 0;
            if (over && free.size() == connections) {
                break;
            }
            while (!over && !free.isEmpty() && (rate == 0 || start + (long) (sent * 1e9 / rate) - now <= 0)) {
                ask(free.poll(), rate == 0 ? now : start + (long) (sent * 1e9 / rate));
                sent++;
            }
            // It does not sleep: a late wake-up must not count as the server's, nor what it costs a server to wake it.
            selector.selectNow(this::read);
            Thread.onSpinWait();
        }
        long[] sorted = Arrays.copyOf(nanos, done);
        Arrays.sort(sorted);
        return new Result((System.nanoTime() - start) / 1e9, sorted);
    }

    private void ask(Connection connection, long due) throws IOException {
        connection.begun = due;
        connection.channel.write(request.rewind());
        if (request.hasRemaining()) {
            throw new IOException("a request does not fit into the socket");
        }
    }

    private void read(SelectionKey key) {
        Connection connection = (Connection) key.attachment();
        try {
            if (connection.channel.read(connection.answer) < 0) {
                throw new IOException("the server hangs up");
            }
            if (connection.complete()) {
                if (done == nanos.length) {
                    nanos = Arrays.copyOf(nanos, 2 * done);
                }
                nanos[done++] = System.nanoTime() - connection.begun;
                connection.answer.clear();
                connection.head = -1;
                free.add(connection);
            }
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    @Override
    public void close() throws IOException {
        for (SelectionKey key : selector.keys()) {
            key.channel().close();
        }
        selector.close();
    }
}
