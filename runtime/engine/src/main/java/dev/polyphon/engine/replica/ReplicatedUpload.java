package dev.polyphon.engine.replica;

import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterUpload;
import dev.polyphon.runtime.RuntimeFault;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An upload that several runtimes take. The first decides whether the files are good; the others get them after that, out of files of their own until then,
 * since what is sent comes only once.
 */
final class ReplicatedUpload implements AdapterUpload {
    private static final Logger LOG = LoggerFactory.getLogger(ReplicatedUpload.class);

    private final AdapterUpload first;
    private final Supplier<List<AdapterUpload>> others;
    private final List<Sent> sent = new ArrayList<>();

    /** @param others begins their uploads */
    ReplicatedUpload(AdapterUpload first, Supplier<List<AdapterUpload>> others) {
        this.first = first;
        this.others = others;
    }

    private interface Taking {
        void by(AdapterUpload upload, InputStream content) throws IOException;
    }

    private record Sent(Path copy, Taking taking) {}

    @Override
    public void file(String path, InputStream content) throws IOException {
        take(content, (upload, copy) -> upload.file(path, copy));
    }

    @Override
    public void zip(InputStream content) throws IOException {
        take(content, AdapterUpload::zip);
    }

    @Override
    public void tar(InputStream content) throws IOException {
        take(content, AdapterUpload::tar);
    }

    /** The first reads what is sent, and refuses what is too large before it is on disk twice. */
    private void take(InputStream content, Taking taking) throws IOException {
        Path copy = Files.createTempFile("polyphon-upload", null);
        sent.add(new Sent(copy, taking));
        try (var out = Files.newOutputStream(copy)) {
            taking.by(first, new CopyingStream(content, out));
        }
    }

    @Override
    public AdapterInfo commit() throws IOException {
        AdapterInfo info = first.commit();
        try {
            for (AdapterUpload upload : others.get()) {
                try (upload) {
                    for (Sent one : sent) {
                        try (InputStream content = Files.newInputStream(one.copy)) {
                            one.taking.by(upload, content);
                        }
                    }
                    upload.commit();
                }
            }
        } catch (IOException | RuntimeFault e) {
            LOG.warn("not all replicas could take the upload of {}: {}", info.id(), e.getMessage());
        }
        return info;
    }

    @Override
    public void close() {
        first.close();
        try {
            for (Sent one : sent) {
                Files.deleteIfExists(one.copy);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
