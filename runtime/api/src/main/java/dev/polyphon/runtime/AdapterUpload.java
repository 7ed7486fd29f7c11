package dev.polyphon.runtime;

import java.io.IOException;
import java.io.InputStream;

/**
 * An adapter whose files are being sent. Nothing of it is seen before {@link #commit}, and nothing is left of it when it is closed without.
 *
 * <p>For one thread at a time, one that may wait. What breaks a rule (too large, too many files, a path that leads out, an archive that is not one) is a
 * {@link RuntimeFault} of kind {@code INVALID} that says which; a full cache is one of kind {@code NO_SPACE}.
 */
public interface AdapterUpload extends AutoCloseable {

    /**
     * Takes one file.
     *
     * @param path relative, with slashes; for example {@code adapter_config.json}
     * @param content read to its end, not closed
     * @throws IOException when the content cannot be read
     */
    void file(String path, InputStream content) throws IOException;

    /** Takes the files of a zip archive, from its top or from the only folder there. */
    void zip(InputStream content) throws IOException;

    /** Takes the files of a tar archive, packed by gzip or not, in the same way. */
    void tar(InputStream content) throws IOException;

    /** Checks that the files are an adapter for the base, and registers it; afterwards it is on disk for good. */
    AdapterInfo commit() throws IOException;

    /** Drops what was not committed. */
    @Override
    void close();
}
