package dev.polyphon.engine.pool.source;

import dev.polyphon.runtime.AdapterSource;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.util.Optional;

/** A place elsewhere that has an adapter's files. For one thread at a time. */
interface Origin {

    /**
     * Opens a file, or what is left of it.
     *
     * @param from bytes that have come already; the answer may begin at 0 all the same
     * @param tag {@link Incoming#tag} when they came: of another content the answer begins at 0. Null for none
     * @return empty when the origin has no file of that name
     */
    Optional<Incoming> open(String name, long from, String tag) throws IOException, InterruptedException;

    /** Where these very files are found again, as far as the origin can tell by now. */
    AdapterSource source();

    /**
     * A file on its way.
     *
     * @param from where {@code body} begins in the file
     * @param size of the whole file; -1 when the origin does not say
     * @param tag another content has another one; null when there is none
     * @param sha256 of the whole file in hex; null when the origin does not say
     */
    record Incoming(InputStream body, long from, long size, String tag, String sha256) implements Closeable {
        @Override
        public void close() throws IOException {
            body.close();
        }
    }
}
