package dev.polyphon.engine;

import java.io.IOException;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;

/** Something that is opened on a thread of its own while its owner opens something else. Closing it closes what was opened. */
final class Opening<T extends AutoCloseable> implements AutoCloseable {
    private final FutureTask<T> task;

    Opening(String name, Callable<T> open) {
        task = new FutureTask<>(open);
        Thread.ofPlatform().name(name).daemon().start(task);
    }

    /** Waits until it is open. */
    T get() throws IOException {
        try {
            return task.get();
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case IOException cause -> throw cause;
                case RuntimeException cause -> throw cause;
                case Error cause -> throw cause;
                default -> throw new IOException(e.getCause());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while the model was opened");
        }
    }

    @Override
    public void close() throws Exception {
        try {
            task.get().close();
        } catch (ExecutionException e) {
            // Whoever asked for it has heard why, and there is nothing to close.
        }
    }
}
