package dev.polyphon.engine.pool.source;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** Brings adapters from elsewhere: the configuration, and the one file of tensors that it goes with. Thread-safe; its callers wait. */
public final class Fetcher implements AutoCloseable {

    /** Hears of what comes; what it throws ends the transfer. */
    @FunctionalInterface
    public interface Progress {
        void received(int bytes) throws IOException;
    }

    private final SourceOptions options;
    private final Transport transport;

    public Fetcher(SourceOptions options) {
        this.options = options;
        this.transport = new Transport(options.connectLimit());
    }

    /** Refuses sources that this is not set up for. */
    public void check(AdapterSource source) {
        if (source instanceof AdapterSource.Hub && options.hub() == null) {
            throw RuntimeFault.of(Kind.UNSUPPORTED, "this server is not set up for adapters from a hub: the setting hub.endpoint is empty");
        }
        if (source instanceof AdapterSource.S3 && options.s3() == null) {
            throw RuntimeFault.of(Kind.UNSUPPORTED, "this server is not set up for adapters from S3: the settings s3.region and s3.endpoint are empty");
        }
    }

    /**
     * Writes an adapter's files into a folder, going on with what an earlier try left of them there, and brings them to the disk.
     *
     * @return where these very files are found again
     * @throws IOException when the origin cannot be reached, or what it has is no adapter
     */
    public AdapterSource fetch(AdapterSource source, Path into, Progress progress) throws IOException {
        check(source);
        Origin origin = switch (source) {
            case AdapterSource.Hub hub -> new HubOrigin(transport, options.hub(), hub);
            case AdapterSource.S3 s3 -> new S3Origin(transport, options.s3(), s3);
            case AdapterSource.Folder _, AdapterSource.Upload _ -> throw new IllegalArgumentException(source.uri() + " is not fetched");
        };
        try {
            if (!download(origin, AdapterFolder.CONFIG, AdapterFolder.MOST_CONFIG_BYTES, into, progress)) {
                throw new AdapterFault(source.uri() + " has no " + AdapterFolder.CONFIG);
            }
            byte[] config = Files.readAllBytes(into.resolve(AdapterFolder.CONFIG));
            List<String> names = AdapterFolder.of(Path.of(source.uri()), Map.of(AdapterFolder.CONFIG, MemorySegment.ofArray(config))).tensorFiles();
            for (int i = 0; i < names.size(); i++) {
                if (download(origin, names.get(i), options.largestFile(), into, progress)) {
                    for (String other : names.subList(i + 1, names.size())) {
                        remove(into.resolve(other));
                    }
                    return origin.source();
                }
            }
            throw new AdapterFault(source.uri() + " has no " + String.join(" and no ", names));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted while " + source.uri() + " was fetched");
        }
    }

    private boolean download(Origin origin, String name, long limit, Path into, Progress progress) throws IOException, InterruptedException {
        Path target = into.resolve(name);
        boolean found = new Download(origin, name, limit, options, progress).to(target);
        if (!found) {
            remove(target);
        }
        return found;
    }

    private static void remove(Path target) throws IOException {
        Files.deleteIfExists(target);
        Files.deleteIfExists(Download.mark(target));
    }

    @Override
    public void close() {
        transport.close();
    }
}
