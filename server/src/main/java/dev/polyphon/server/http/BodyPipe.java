package dev.polyphon.server.http;

import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayDeque;

/**
 * A request's body on its way from the event loop, which never waits, to a thread that reads it and may wait. What has come and not been
 * read is bounded by whoever fills it: above {@link #HIGH} bytes the connection reads no further until the reader is down to {@link #LOW}.
 */
final class BodyPipe extends InputStream {
    static final int HIGH = 256 << 10;
    static final int LOW = 64 << 10;

    private final Runnable drained;
    private final ArrayDeque<byte[]> pieces = new ArrayDeque<>();
    private int offset;
    private int queued;
    private boolean full;
    private boolean ended;
    private IOException failure;

    /** @param drained runs on the reader's thread when a pipe that was full is down to {@link #LOW} */
    BodyPipe(Runnable drained) {
        this.drained = drained;
    }

    /** Adds a piece; false when that makes the pipe full. */
    synchronized boolean add(byte[] piece) {
        if (piece.length > 0) {
            pieces.add(piece);
            queued += piece.length;
            notifyAll();
        }
        full |= queued > HIGH;
        return !full;
    }

    /** The body is complete. */
    synchronized void end() {
        ended = true;
        notifyAll();
    }

    /** The rest of the body will not come. */
    synchronized void fail(IOException cause) {
        if (!ended && failure == null) {
            failure = cause;
            notifyAll();
        }
    }

    @Override
    public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] target, int from, int length) throws IOException {
        if (length == 0) {
            return 0;
        }
        int count;
        boolean nowDrained;
        synchronized (this) {
            while (pieces.isEmpty() && !ended && failure == null) {
                await();
            }
            if (failure != null) {
                throw failure;
            }
            if (pieces.isEmpty()) {
                return -1;
            }
            byte[] piece = pieces.peek();
            count = Math.min(length, piece.length - offset);
            System.arraycopy(piece, offset, target, from, count);
            offset += count;
            queued -= count;
            if (offset == piece.length) {
                pieces.poll();
                offset = 0;
            }
            nowDrained = full && queued <= LOW;
            full &= !nowDrained;
        }
        if (nowDrained) {
            drained.run();
        }
        return count;
    }

    private void await() throws IOException {
        try {
            wait();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while waiting for the body", e);
        }
    }
}
