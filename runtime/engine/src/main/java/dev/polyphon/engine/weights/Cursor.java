package dev.polyphon.engine.weights;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;

/** Reads little-endian values forward through a file's bytes, each read checked against their end. */
final class Cursor {

    static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final Path file;
    private final MemorySegment bytes;
    private long position;

    /** Starts at {@code position}, which lies in {@code bytes} or at their end. */
    Cursor(Path file, MemorySegment bytes, long position) {
        this.file = file;
        this.bytes = bytes;
        this.position = position;
    }

    long position() {
        return position;
    }

    long remaining() {
        return bytes.byteSize() - position;
    }

    /** Steps over {@code count} bytes and gives the position where they start. A negative count is an unsigned one too large for any file. */
    long skip(long count, String what) throws MalformedFileException {
        if (count < 0 || count > remaining()) {
            throw malformed("%s needs %s bytes at byte %d, but only %d are left".formatted(what, Long.toUnsignedString(count), position, remaining()));
        }
        long start = position;
        position += count;
        return start;
    }

    /**
     * Reads how many entries follow.
     *
     * @param least the fewest bytes that an entry can take, so that a count larger than the file can hold is refused before anything is allocated
     */
    long count(long least, String what) throws MalformedFileException {
        return checkedCount(int64(what), least, what);
    }

    long checkedCount(long count, long least, String what) throws MalformedFileException {
        if (count < 0 || count > remaining() / least) {
            throw malformed("%s is %s, but the %d bytes left hold at most %d".formatted(what, Long.toUnsignedString(count), remaining(),
                    remaining() / least));
        }
        return count;
    }

    int uint8(String what) throws MalformedFileException {
        return bytes.get(ValueLayout.JAVA_BYTE, skip(1, what)) & 0xFF;
    }

    int uint16(String what) throws MalformedFileException {
        return bytes.get(SHORT, skip(2, what)) & 0xFFFF;
    }

    int int32(String what) throws MalformedFileException {
        return bytes.get(INT, skip(4, what));
    }

    long uint32(String what) throws MalformedFileException {
        return int32(what) & 0xFFFF_FFFFL;
    }

    long int64(String what) throws MalformedFileException {
        return bytes.get(LONG, skip(8, what));
    }

    /** Reads {@code length} bytes of UTF-8. */
    String utf8(long length, String what) throws MalformedFileException {
        long start = skip(length, what);
        if (length > Integer.MAX_VALUE - 8) {
            throw malformed("%s is a string of %d bytes, too long to read".formatted(what, length));
        }
        byte[] encoded = new byte[(int) length];
        MemorySegment.copy(bytes, ValueLayout.JAVA_BYTE, start, encoded, 0, encoded.length);
        String text = new String(encoded, StandardCharsets.UTF_8);
        // The decoder replaces what it cannot read; only then is the way back worth its time.
        if (text.indexOf('\uFFFD') >= 0 && !Arrays.equals(text.getBytes(StandardCharsets.UTF_8), encoded)) {
            throw malformed("%s is not valid UTF-8".formatted(what));
        }
        return text;
    }

    MalformedFileException malformed(String problem) {
        return new MalformedFileException(file, problem);
    }
}
