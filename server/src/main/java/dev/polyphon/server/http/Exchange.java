package dev.polyphon.server.http;

import io.netty.buffer.ByteBuf;
import io.netty.channel.EventLoop;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.RejectedExecutionException;

/**
 * One request and its answer: either {@link #respond}, or {@link #begin}, any number of {@link #write} and {@link #end}. When the client
 * leaves before the end, what is still sent is dropped, and {@link #onAbort} is run.
 *
 * <p>{@link #respond} and {@link #execute} may be called from any thread, everything else on the connection's event loop only.
 */
public final class Exchange implements Outlet {
    private enum State {
        WAITING,
        STREAMING,
        ENDED,
        ABORTED
    }

    private static final Runnable NOTHING = () -> {};

    private final Connection connection;
    private final EventLoop loop;
    private final Request request;
    private final InputStream body;
    private boolean keepAlive;
    private String route = "";
    private Map<String, String> parameters = Map.of();
    /** Names and values in turn. */
    private List<String> headers = List.of();
    private Map<String, Object> notes = Map.of();
    private Object caller;
    private State state = State.WAITING;
    private Runnable onAbort = NOTHING;
    private Runnable onWritable = NOTHING;
    private Runnable beforeAnswer = NOTHING;
    private Runnable onEnd = NOTHING;
    private int status;
    private long bytes;

    Exchange(Connection connection, EventLoop loop, Request request, InputStream body, boolean keepAlive) {
        this.connection = connection;
        this.loop = loop;
        this.request = request;
        this.body = body;
        this.keepAlive = keepAlive;
    }

    @Override
    public Request request() {
        return request;
    }

    /**
     * The request's body. Where the handler {@linkplain Handler#streams takes it as it comes}, reading waits for it and belongs on a thread of
     * its own; it fails when the client leaves or stops sending.
     */
    public InputStream body() {
        return body == null ? new ByteArrayInputStream(request.body()) : body;
    }

    /** The pattern of the route taken; empty when there is none for the path. */
    public String route() {
        return route;
    }

    /** What stands in the path for a name in the route's pattern. */
    public String parameter(String name) {
        return parameters.get(name);
    }

    @Override
    public Object caller() {
        return caller;
    }

    public void caller(Object who) {
        caller = who;
    }

    /** Whose this connection is, as was found out with an earlier request on it; null when nobody's yet. */
    public Object connectionOwner() {
        return connection.owner();
    }

    /**
     * Says whose this connection is from now on.
     *
     * @param released runs when it is closed, or somebody else's
     */
    public void connectionOwner(Object owner, Runnable released) {
        connection.owner(owner, released);
    }

    /** The connection is closed behind this answer. */
    public void closeAfter() {
        keepAlive = false;
    }

    /** Adds a header to the answer, whichever it will be; an answer's own header of that name goes before it. */
    public void header(String name, String value) {
        if (headers.isEmpty()) {
            headers = new ArrayList<>();
        }
        headers.add(name);
        headers.add(value);
    }

    @Override
    public void note(String name, Object value) {
        if (notes.isEmpty()) {
            notes = new LinkedHashMap<>();
        }
        notes.put(name, value);
    }

    /** Runs right before the header of the answer is sent, to add what is known by then only. */
    public void beforeAnswer(Runnable action) {
        beforeAnswer = action;
    }

    /** Runs once when this is over: answered to the end, or the client has left. */
    public void onEnd(Runnable action) {
        onEnd = action;
    }

    /** The status that was answered; 0 before that. */
    public int status() {
        return status;
    }

    /** {@inheritDoc} What it throws becomes a 500. */
    @Override
    public void execute(Runnable task) {
        try {
            loop.execute(() -> {
                try {
                    task.run();
                } catch (Throwable e) {
                    connection.failed(this, e);
                }
            });
        } catch (RejectedExecutionException e) {
            // The loops have been shut down: the connection is closed and its exchange was aborted.
        }
    }

    /** Runs a task that waits or computes on a thread of its own. What it throws becomes a 500. */
    public void offload(Runnable task) {
        Thread.ofVirtual().name("request").start(() -> {
            try {
                task.run();
            } catch (Throwable e) {
                execute(() -> {
                    throw e;
                });
            }
        });
    }

    @Override
    public void onAbort(Runnable action) {
        if (state == State.ABORTED) {
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
    public boolean writable() {
        return connection.writable();
    }

    public void respond(Response response) {
        if (!loop.inEventLoop()) {
            execute(() -> respond(response));
            return;
        }
        switch (state) {
            case WAITING -> {
                status = response.status();
                bytes = response.body().length;
                state = State.ENDED;
                beforeAnswer.run();
                connection.respond(response, headers, keepAlive);
                connection.ended(this, keepAlive);
            }
            case ABORTED -> {}
            case STREAMING, ENDED -> throw new IllegalStateException("this request has been answered");
        }
    }

    /** Starts an answer of unknown length. */
    public void begin(int newStatus, String contentType, Map<String, String> own) {
        switch (state) {
            case WAITING -> {
                status = newStatus;
                state = State.STREAMING;
                beforeAnswer.run();
                connection.begin(newStatus, contentType, headers, own, keepAlive);
            }
            case ABORTED -> {}
            case STREAMING, ENDED -> throw new IllegalStateException("this request has been answered");
        }
    }

    /** A buffer to fill and give to {@link #write}. */
    public ByteBuf buffer() {
        return connection.buffer();
    }

    /** Sends a piece of the body. The buffer is released here, whatever happens. */
    public void write(ByteBuf piece) {
        if (state == State.STREAMING && piece.isReadable()) {
            bytes += piece.readableBytes();
            connection.write(piece);
            return;
        }
        piece.release();
        if (state == State.WAITING || state == State.ENDED) {
            throw new IllegalStateException("no answer is under way");
        }
    }

    /** Ends an answer that {@link #begin} started. */
    public void end() {
        end(Map.of());
    }

    /** Ends an answer that {@link #begin} started, with fields behind its body. */
    public void end(Map<String, String> trailers) {
        switch (state) {
            case STREAMING -> {
                state = State.ENDED;
                connection.end(trailers);
                connection.ended(this, keepAlive);
            }
            case ABORTED -> {}
            case WAITING, ENDED -> throw new IllegalStateException("no answer is under way");
        }
    }

    /** {@inheritDoc} The connection is closed, which tells the client that it is not whole. */
    @Override
    public void cut() {
        if (state == State.WAITING || state == State.STREAMING) {
            connection.cut();
        }
    }

    /** Whether an answer can still be given. */
    public boolean waiting() {
        return state == State.WAITING;
    }

    void routed(String pattern, Map<String, String> values) {
        route = pattern;
        parameters = values;
    }

    void becameWritable() {
        if (state == State.WAITING || state == State.STREAMING) {
            onWritable.run();
        }
    }

    void abort() {
        if (state == State.WAITING || state == State.STREAMING) {
            state = State.ABORTED;
            onAbort.run();
        }
    }

    void report(HttpObserver observer) {
        observer.answered(request, route, notes, status, bytes, System.nanoTime() - request.received(), state == State.ENDED);
        onEnd.run();
    }
}
