package dev.polyphon.server.http;

/**
 * The way of one answer: a whole exchange, or a part of one that carries several requests. {@link #execute} may be called from any thread, everything
 * else on the connection's event loop only.
 */
public interface Outlet {

    /** The request that is answered or, where one exchange carries several, the one that opened it. */
    Request request();

    /** Who asks, as a {@link Filter} found out; null when none did. */
    Object caller();

    /** Runs a task on this connection's event loop; at a time when that has ended, never. */
    void execute(Runnable task);

    /** Whether the client keeps up: while it does not, whatever is written waits in memory. */
    boolean writable();

    /** Runs when the client leaves before the answer's end: at once if it has left already, never after the end. */
    void onAbort(Runnable action);

    /** Runs whenever {@link #writable()} turns true again. */
    void onWritable(Runnable action);

    /** Notes something about the exchange for the {@link HttpObserver}. */
    void note(String name, Object value);

    /** Gives an answer up that cannot be completed. */
    void cut();
}
