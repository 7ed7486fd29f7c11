package dev.polyphon.engine.weights;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The entries of a zip file whose entries are stored, not compressed, in place (<a
 * href="https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT">APPNOTE.TXT</a>, with its Zip64 extensions). Checksums are not looked at:
 * that would read every tensor once more.
 */
final class StoredZip {

    private static final int LOCAL_HEADER = 0x04034b50;
    private static final int CENTRAL_HEADER = 0x02014b50;
    private static final int END = 0x06054b50;
    private static final int END_64 = 0x06064b50;
    private static final int LOCATOR_64 = 0x07064b50;
    private static final int END_BYTES = 22;
    private static final int LOCATOR_BYTES = 20;
    private static final int CENTRAL_BYTES = 46;
    private static final int EXTRA_64 = 1;
    private static final long IN_EXTRA = 0xFFFF_FFFFL;

    private final Path file;
    private final MemorySegment bytes;

    private StoredZip(Path file, MemorySegment bytes) {
        this.file = file;
        this.bytes = bytes;
    }

    /** All entries by name, in the order of the central directory. */
    static Map<String, MemorySegment> entries(Path file, MemorySegment bytes) throws MalformedFileException {
        return new StoredZip(file, bytes).read();
    }

    private Map<String, MemorySegment> read() throws MalformedFileException {
        long end = findEnd();
        Cursor cursor = at(end + 10, "the zip's end");
        long count = cursor.uint16("the zip's end");
        cursor.skip(4, "the zip's end");
        long directory = cursor.uint32("the zip's end");
        if (end >= LOCATOR_BYTES && bytes.get(Cursor.INT, end - LOCATOR_BYTES) == LOCATOR_64) {
            Cursor end64 = at(bytes.get(Cursor.LONG, end - LOCATOR_BYTES + 8), "the zip's Zip64 end");
            expect(end64, END_64, "the zip's Zip64 end");
            end64.skip(28, "the zip's Zip64 end");
            count = end64.int64("the zip's Zip64 end");
            end64.skip(8, "the zip's Zip64 end");
            directory = end64.int64("the zip's Zip64 end");
        }
        Cursor central = at(directory, "the zip's directory");
        central.checkedCount(count, CENTRAL_BYTES, "the number of zip entries");
        if (count > Limits.ZIP_ENTRIES) {
            throw central.malformed("the zip has %d entries, at most %d are allowed".formatted(count, Limits.ZIP_ENTRIES));
        }
        Map<String, MemorySegment> entries = new LinkedHashMap<>();
        for (long i = 0; i < count; i++) {
            readEntry(central, entries);
        }
        return entries;
    }

    /** The end record is last in the file, but for a comment whose length it has. */
    private long findEnd() throws MalformedFileException {
        long last = bytes.byteSize() - END_BYTES;
        for (long at = last; at >= 0 && at >= last - 0xFFFF; at--) {
            if (bytes.get(Cursor.INT, at) == END && (bytes.get(Cursor.SHORT, at + 20) & 0xFFFF) == last - at) {
                return at;
            }
        }
        throw new MalformedFileException(file, "not a complete zip file: no end record");
    }

    private void readEntry(Cursor central, Map<String, MemorySegment> entries) throws MalformedFileException {
        String what = "an entry of the zip's directory";
        expect(central, CENTRAL_HEADER, what);
        central.skip(4, what);
        int flags = central.uint16(what);
        int method = central.uint16(what);
        central.skip(8, what);
        long compressed = central.uint32(what);
        long size = central.uint32(what);
        int nameLength = central.uint16(what);
        int extraLength = central.uint16(what);
        int commentLength = central.uint16(what);
        central.skip(8, what);
        long header = central.uint32(what);
        if (nameLength > Limits.ZIP_NAME_BYTES) {
            throw central.malformed("%s has a name of %d bytes, at most %d are allowed".formatted(what, nameLength, Limits.ZIP_NAME_BYTES));
        }
        String name = central.utf8(nameLength, what);
        what = "zip entry '" + name + "'";
        Cursor extra = extra64(central, extraLength, what);
        size = size == IN_EXTRA && extra != null ? extra.int64(what) : size;
        compressed = compressed == IN_EXTRA && extra != null ? extra.int64(what) : compressed;
        header = header == IN_EXTRA && extra != null ? extra.int64(what) : header;
        central.skip(commentLength, what);
        if ((flags & 1) != 0 || method != 0 || compressed != size) {
            throw central.malformed(what + " is compressed or encrypted; torch stores them as they are");
        }
        if (entries.putIfAbsent(name, contents(header, size, what)) != null) {
            throw central.malformed(what + " appears twice");
        }
    }

    /** Steps over the extra fields and gives the body of the Zip64 one, or null. */
    private Cursor extra64(Cursor central, int length, String what) throws MalformedFileException {
        long fields = central.skip(length, what);
        Cursor extra = new Cursor(file, bytes.asSlice(0, fields + length), fields);
        while (extra.remaining() >= 4) {
            int id = extra.uint16(what);
            int size = extra.uint16(what);
            long start = extra.skip(size, what);
            if (id == EXTRA_64) {
                return new Cursor(file, bytes.asSlice(0, start + size), start);
            }
        }
        return null;
    }

    /** The sizes in a local header may be zero (they follow the data then), but its own length is needed. */
    private MemorySegment contents(long header, long size, String what) throws MalformedFileException {
        Cursor local = at(header, what);
        expect(local, LOCAL_HEADER, what);
        local.skip(22, what);
        int nameLength = local.uint16(what);
        int extraLength = local.uint16(what);
        local.skip(nameLength + extraLength, what);
        return bytes.asSlice(local.skip(size, what), size);
    }

    private Cursor at(long position, String what) throws MalformedFileException {
        Cursor cursor = new Cursor(file, bytes, 0);
        if (position < 0 || position > bytes.byteSize()) {
            throw cursor.malformed("%s should be at byte %s, but the file has %d".formatted(what, Long.toUnsignedString(position), bytes.byteSize()));
        }
        cursor.skip(position, what);
        return cursor;
    }

    private static void expect(Cursor cursor, int signature, String what) throws MalformedFileException {
        long at = cursor.position();
        int found = cursor.int32(what);
        if (found != signature) {
            throw cursor.malformed("%s at byte %d: expected the signature %08X, found %08X".formatted(what, at, signature, found));
        }
    }
}
