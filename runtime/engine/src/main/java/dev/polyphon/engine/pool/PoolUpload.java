package dev.polyphon.engine.pool;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.pool.DiskStore.Arrival;
import dev.polyphon.engine.pool.Loads.Images;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterUpload;
import dev.polyphon.runtime.RuntimeFault;
import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PushbackInputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.StandardOpenOption;
import java.util.HashSet;
import java.util.Set;
import java.util.zip.GZIPInputStream;
import org.apache.commons.compress.archivers.ArchiveEntry;
import org.apache.commons.compress.archivers.ArchiveInputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.apache.commons.compress.archivers.zip.ZipArchiveEntry;
import org.apache.commons.compress.archivers.zip.ZipArchiveInputStream;

/** Receives an adapter's files into the disk store. What else is sent with them (a model card, a tokenizer) is read over. */
final class PoolUpload implements AdapterUpload {
    private static final int CHUNK = 1 << 17;
    private static final int MOST_FILES = 1000;

    private final AdapterRegistration wanted;
    private final Arrival arrival;
    private final long limit;
    private final PoolCatalog catalog;
    private final Loads loads;
    private final Set<String> received = new HashSet<>();
    private String top;
    private long bytes;
    private int files;

    PoolUpload(AdapterRegistration wanted, Arrival arrival, long limit, PoolCatalog catalog, Loads loads) {
        this.wanted = wanted;
        this.arrival = arrival;
        this.limit = limit;
        this.catalog = catalog;
        this.loads = loads;
    }

    @Override
    public void file(String path, InputStream content) throws IOException {
        if (++files > MOST_FILES) {
            throw invalid("an upload may have " + MOST_FILES + " files");
        }
        String name = name(path);
        if (!AdapterFolder.files().contains(name)) {
            take(path, content, null);
            return;
        }
        String folder = path.substring(0, path.length() - name.length());
        if (top != null && !top.equals(folder)) {
            throw invalid("an adapter's files stand in one folder, found some in '" + top + "' and '" + folder + "'");
        }
        top = folder;
        if (!received.add(name)) {
            throw invalid(name + " was sent twice");
        }
        try (FileChannel out = FileChannel.open(arrival.folder().resolve(name), StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            take(path, content, out);
            out.force(true);
        }
    }

    /** The last part of a path, which must not lead anywhere. */
    private static String name(String path) {
        boolean leadsOut = path.isEmpty() || path.startsWith("/") || path.indexOf('\\') >= 0 || path.chars().anyMatch(c -> c < ' ')
                || ("/" + path + "/").contains("/../");
        if (leadsOut) {
            throw invalid("'" + path.replaceAll("\\p{Cntrl}", "?") + "' is no path inside an adapter's folder");
        }
        String plain = path.startsWith("./") ? path.substring(2) : path;
        return plain.substring(plain.lastIndexOf('/') + 1);
    }

    private void take(String path, InputStream content, FileChannel out) throws IOException {
        byte[] chunk = new byte[CHUNK];
        for (int n = content.read(chunk); n >= 0; n = content.read(chunk)) {
            bytes += n;
            if (bytes > limit) {
                throw invalid("an upload may have " + limit + " bytes in all, unpacked; there are more (at " + path + ")");
            }
            if (out != null) {
                write(ByteBuffer.wrap(chunk, 0, n), out);
            }
        }
    }

    private void write(ByteBuffer piece, FileChannel out) throws IOException {
        arrival.take(piece.remaining());
        try {
            while (piece.hasRemaining()) {
                out.write(piece);
            }
        } catch (IOException e) {
            if (DiskStore.isFull(e)) {
                throw DiskStore.full();
            }
            throw e;
        }
    }

    @Override
    public void zip(InputStream content) throws IOException {
        archive(content, "zip", source -> new ZipArchiveInputStream(source, "UTF-8", true, true));
    }

    @Override
    public void tar(InputStream content) throws IOException {
        archive(content, "tar", source -> new TarArchiveInputStream(unpacked(source), "UTF-8"));
    }

    private static InputStream unpacked(InputStream source) throws IOException {
        PushbackInputStream in = new PushbackInputStream(source, 2);
        byte[] magic = in.readNBytes(2);
        in.unread(magic);
        boolean gzip = magic.length == 2 && (magic[0] & 0xff) == 0x1f && (magic[1] & 0xff) == 0x8b;
        return gzip ? new GZIPInputStream(in) : in;
    }

    @FunctionalInterface
    private interface Opener {
        ArchiveInputStream<?> open(InputStream source) throws IOException;
    }

    private void archive(InputStream content, String kind, Opener opener) throws IOException {
        Source source = new Source(content);
        try {
            ArchiveInputStream<?> archive = opener.open(source);
            for (ArchiveEntry entry = archive.getNextEntry(); entry != null; entry = archive.getNextEntry()) {
                if (!entry.isDirectory()) {
                    requirePlain(entry, archive);
                    file(entry.getName(), archive);
                }
            }
        } catch (IOException | IllegalArgumentException e) {
            if (source.failure != null) {
                throw source.failure;
            }
            throw invalid("this is no " + kind + " archive, or a damaged one: " + e.getMessage());
        }
        if (files == 0) {
            throw invalid("this is no " + kind + " archive, or an empty one");
        }
        source.transferTo(OutputStream.nullOutputStream());
    }

    private static void requirePlain(ArchiveEntry entry, ArchiveInputStream<?> archive) {
        if (entry instanceof TarArchiveEntry tar && !tar.isFile()) {
            throw invalid("'" + entry.getName() + "' is neither a file nor a folder");
        }
        if (entry instanceof ZipArchiveEntry zip && (zip.isUnixSymlink() || !archive.canReadEntryData(zip))) {
            throw invalid("'" + entry.getName() + "' is a link, encrypted, or packed in a way that is not understood");
        }
    }

    /** Tells failures of what is read from failures of what it holds. */
    private static final class Source extends FilterInputStream {
        private IOException failure;

        private Source(InputStream in) {
            super(in);
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] target, int from, int length) throws IOException {
            try {
                return super.read(target, from, length);
            } catch (IOException e) {
                failure = e;
                throw e;
            }
        }
    }

    @Override
    public AdapterInfo commit() throws IOException {
        if (!received.contains(AdapterFolder.CONFIG)) {
            throw invalid("there is no " + AdapterFolder.CONFIG + " among the " + files + " files that were sent");
        }
        try (Images images = loads.arrived(arrival.folder(), wanted.id())) {
            String hash = images.all.getFirst().hash();
            return catalog.install(wanted, images, () -> arrival.settle(hash, true).close());
        } catch (AdapterFault e) {
            throw AdapterPool.unusable(wanted.id().name(), e);
        }
    }

    @Override
    public void close() {
        arrival.close();
    }

    private static RuntimeFault invalid(String message) {
        return RuntimeFault.invalid("files", message);
    }
}
