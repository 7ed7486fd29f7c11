package dev.polyphon.server.admin;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reads the files of a {@code multipart/form-data} body (RFC 7578) one after the other, as they come. For one thread. */
final class Multipart {
    private static final Pattern BOUNDARY = Pattern.compile(";\\s*boundary=(?:\"([^\"]{1,70})\"|([^;\\s\"]{1,70}))", Pattern.CASE_INSENSITIVE);
    private static final Pattern FILENAME = Pattern.compile(";\\s*filename=(?:\"((?:[^\"\\\\]|\\\\.)*)\"|([^;\\s\"]+))", Pattern.CASE_INSENSITIVE);
    private static final int MOST_HEADER = 16 << 10;

    private final InputStream in;
    private final byte[] delimiter;
    private final byte[] buffer = new byte[64 << 10];
    private int from;
    private int to;
    private boolean ended;

    private Multipart(InputStream in, String boundary) {
        this.in = in;
        delimiter = ("\r\n--" + boundary).getBytes(StandardCharsets.ISO_8859_1);
        // The first boundary may stand at the very beginning: as if a line had ended before it.
        buffer[to++] = '\r';
        buffer[to++] = '\n';
    }

    /** @throws IllegalArgumentException when the type names no boundary */
    static Multipart of(InputStream body, String contentType) {
        Matcher found = BOUNDARY.matcher(contentType);
        if (!found.find()) {
            throw new IllegalArgumentException("a multipart body's Content-Type must name its boundary");
        }
        return new Multipart(body, found.group(1) != null ? found.group(1) : found.group(2));
    }

    /**
     * Goes to the next file, past what is left of the one before; null after the last. Its content is then {@link #content}.
     *
     * @throws IllegalArgumentException for what is no such body, or a part of it that is no file
     */
    String next() throws IOException {
        if (ended) {
            return null;
        }
        content().transferTo(OutputStream.nullOutputStream());
        from += delimiter.length;
        String line = line();
        if (line.startsWith("--")) {
            ended = true;
            return null;
        }
        if (!line.isBlank()) {
            throw new IllegalArgumentException("this is no multipart body: something follows a boundary");
        }
        String name = null;
        int length = 0;
        for (String header = line(); !header.isEmpty(); header = line()) {
            length += header.length();
            if (length > MOST_HEADER) {
                throw new IllegalArgumentException("the header of a part is longer than " + MOST_HEADER + " bytes");
            }
            Matcher found = FILENAME.matcher(header);
            if (header.regionMatches(true, 0, "content-disposition:", 0, 20) && found.find()) {
                name = found.group(1) != null ? found.group(1).replaceAll("\\\\(.)", "$1") : found.group(2);
            }
        }
        if (name == null) {
            throw new IllegalArgumentException("a part is no file: its Content-Disposition names none");
        }
        return name;
    }

    /** What is left of the file it stands at. */
    InputStream content() {
        return new InputStream() {
            @Override
            public int read() throws IOException {
                byte[] one = new byte[1];
                return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
            }

            @Override
            public int read(byte[] target, int offset, int length) throws IOException {
                int end = find();
                while (end < 0 && to - from < delimiter.length) {
                    fill();
                    end = find();
                }
                int count = Math.min(length, (end < 0 ? to - delimiter.length + 1 : end) - from);
                if (count == 0 && end == from) {
                    return -1;
                }
                System.arraycopy(buffer, from, target, offset, count);
                from += count;
                return count;
            }
        };
    }

    /** Where the next boundary begins in the buffer, or -1 when it is not there whole. */
    private int find() {
        for (int i = from; i + delimiter.length <= to; i++) {
            if (buffer[i] == '\r' && Arrays.equals(buffer, i, i + delimiter.length, delimiter, 0, delimiter.length)) {
                return i;
            }
        }
        return -1;
    }

    private void fill() throws IOException {
        if (to == buffer.length) {
            System.arraycopy(buffer, from, buffer, 0, to - from);
            to -= from;
            from = 0;
        }
        int n = in.read(buffer, to, buffer.length - to);
        if (n < 0) {
            throw new IllegalArgumentException("this is no whole multipart body: its last boundary is missing");
        }
        to += n;
    }

    private String line() throws IOException {
        StringBuilder line = new StringBuilder();
        while (true) {
            if (from == to) {
                fill();
            }
            char c = (char) (buffer[from++] & 0xff);
            if (c == '\n') {
                break;
            }
            line.append(c);
            if (line.length() > MOST_HEADER) {
                throw new IllegalArgumentException("the header of a part is longer than " + MOST_HEADER + " bytes");
            }
        }
        int end = line.length() > 0 && line.charAt(line.length() - 1) == '\r' ? line.length() - 1 : line.length();
        byte[] bytes = line.substring(0, end).getBytes(StandardCharsets.ISO_8859_1);
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
