package dev.polyphon.server.grpc;

import com.google.protobuf.MessageLite;
import com.google.protobuf.Parser;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Outlet;
import dev.polyphon.server.http.Request;
import io.netty.buffer.ByteBuf;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One call: messages in, messages out, and a status at the end. {@link #next} and {@link #only} are for the call's own thread, which may wait,
 * {@link #execute} and {@link #offload} for any, everything else is for the connection's event loop.
 */
public final class GrpcCall {
    static final String TYPE = "application/grpc";

    private static final Logger LOG = LoggerFactory.getLogger(GrpcCall.class);
    private static final String BROKEN = "The server failed to handle this request.";

    private final Exchange exchange;
    private final MessageReader reader;
    private final Set<Part> parts = new LinkedHashSet<>();
    private final Room room = new Room();
    private Thread deadline;
    private boolean begun;
    private boolean over;
    private boolean read;

    GrpcCall(Exchange exchange, int limit) {
        this.exchange = exchange;
        String encoding = exchange.request().header("grpc-encoding");
        reader = new MessageReader(exchange.body(), encoding == null ? "identity" : encoding, limit);
        exchange.onAbort(this::abort);
        exchange.onWritable(() -> {
            room.open();
            List.copyOf(parts).forEach(part -> part.onWritable.run());
        });
    }

    /** The call as a whole. */
    public Outlet outlet() {
        return exchange;
    }

    /**
     * The next message, or null at the end; waits until the client has taken what was sent in answer to the last one. Throws an {@link IOException} when
     * the client sends no more and has not ended the call either.
     */
    public <M> M next(Parser<M> parser) throws IOException {
        if (read) {
            room.close();
            execute(() -> {
                if (exchange.writable()) {
                    room.open();
                }
            });
            room.await();
        }
        read = true;
        return reader.next(parser);
    }

    /** The only message of a call. */
    public <M> M only(Parser<M> parser) throws IOException {
        M message = reader.next(parser);
        if (message == null || reader.next(parser) != null) {
            throw new GrpcException(GrpcStatus.INTERNAL, "This method takes one message, found " + (message == null ? "none." : "more."));
        }
        return message;
    }

    /** Runs a task on the event loop. What it throws ends the call. */
    public void execute(Runnable task) {
        exchange.execute(() -> {
            try {
                task.run();
            } catch (RuntimeException e) {
                broken(e);
            }
        });
    }

    void broken(RuntimeException cause) {
        LOG.error("{} failed", exchange.request().line(), cause);
        finish(GrpcStatus.INTERNAL, BROKEN, null);
    }

    /** Runs a task that computes for long on a thread of its own. */
    public void offload(Runnable task) {
        exchange.offload(task);
    }

    /** Sends a message, unless the call is over. */
    public void send(MessageLite message) {
        if (over) {
            return;
        }
        begin();
        byte[] bytes = message.toByteArray();
        ByteBuf frame = exchange.buffer().writeByte(0).writeInt(bytes.length).writeBytes(bytes);
        exchange.write(frame);
    }

    private void begin() {
        if (!begun) {
            begun = true;
            exchange.begin(200, TYPE, Map.of("grpc-accept-encoding", "gzip, deflate, identity"));
        }
    }

    /** Ends the call; what is under way for it is given up. */
    public void finish(GrpcStatus status, String message, Duration retryAfter) {
        if (over) {
            return;
        }
        exchange.note("grpcStatus", status.name());
        boolean answered = begun;
        abort();
        if (answered || status == GrpcStatus.OK) {
            begin();
            exchange.end(trailers(status, message, retryAfter));
        } else {
            exchange.respond(GrpcEndpoint.refusal(status, message, retryAfter));
        }
    }

    public void finish() {
        finish(GrpcStatus.OK, "", null);
    }

    void fail(GrpcException e) {
        finish(e.status(), e.getMessage(), e.retryAfter());
    }

    /** What tells of a call's end. */
    static Map<String, String> trailers(GrpcStatus status, String message, Duration retryAfter) {
        var trailers = new LinkedHashMap<String, String>();
        trailers.put("grpc-status", Integer.toString(status.ordinal()));
        if (!message.isEmpty()) {
            trailers.put("grpc-message", encoded(message));
        }
        if (retryAfter != null) {
            trailers.put("grpc-retry-pushback-ms", Long.toString(retryAfter.toMillis()));
        }
        return trailers;
    }

    /** Nothing will be sent any more: what is under way ends. */
    private void abort() {
        over = true;
        room.end();
        if (deadline != null) {
            deadline.interrupt();
        }
        List<Part> left = List.copyOf(parts);
        parts.clear();
        left.forEach(Part::abort);
    }

    /** Ends the call when its client will no longer wait. */
    void endAfter(Duration time) {
        deadline = Thread.ofVirtual().name("grpc-deadline").start(() -> {
            try {
                Thread.sleep(time);
                execute(() -> finish(GrpcStatus.DEADLINE_EXCEEDED, "The call took longer than its deadline, " + time.toMillis() + " ms.", null));
            } catch (InterruptedException e) {
                // The call ended before.
            }
        });
    }

    /** Opens the way of one answer among several that this call may have under way. */
    public Part part() {
        var part = new Part(exchange.request().receivedAt(System.nanoTime()));
        if (over) {
            part.abort();
        } else {
            parts.add(part);
        }
        return part;
    }

    /** How many answers are under way. */
    public int underWay() {
        return parts.size();
    }

    /** The way of one answer. */
    public final class Part implements Outlet {
        private final Request request;
        private Runnable onAbort = () -> {};
        private Runnable onWritable = () -> {};
        private Runnable onEnd = () -> {};
        private boolean aborted;

        private Part(Request request) {
            this.request = request;
        }

        /** The answer is complete. */
        public void done() {
            if (parts.remove(this)) {
                onEnd.run();
            }
        }

        /** Runs once when the answer is complete or given up: at once if it was given up already. */
        public void onEnd(Runnable action) {
            if (aborted) {
                action.run();
            } else {
                onEnd = action;
            }
        }

        private void abort() {
            aborted = true;
            onAbort.run();
            onEnd.run();
        }

        @Override
        public Request request() {
            return request;
        }

        @Override
        public Object caller() {
            return exchange.caller();
        }

        @Override
        public void execute(Runnable task) {
            GrpcCall.this.execute(task);
        }

        @Override
        public boolean writable() {
            return exchange.writable();
        }

        @Override
        public void onAbort(Runnable action) {
            if (aborted) {
                action.run();
            } else {
                onAbort = action;
            }
        }

        @Override
        public void onWritable(Runnable action) {
            onWritable = action;
        }

        @Override
        public void note(String name, Object value) {
            exchange.note(name, value);
        }

        @Override
        public void cut() {
            finish(GrpcStatus.INTERNAL, BROKEN, null);
        }
    }

    /** Percent-encoded but for printable ASCII, as the protocol wants it. */
    static String encoded(String message) {
        var out = new StringBuilder();
        for (byte b : message.getBytes(StandardCharsets.UTF_8)) {
            if (b >= ' ' && b <= '~' && b != '%') {
                out.append((char) b);
            } else {
                out.append('%').append("%02X".formatted(b & 0xff));
            }
        }
        return out.toString();
    }
}
