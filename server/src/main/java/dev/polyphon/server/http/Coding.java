package dev.polyphon.server.http;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Locale;
import java.util.zip.Deflater;
import java.util.zip.GZIPInputStream;
import java.util.zip.GZIPOutputStream;
import java.util.zip.InflaterInputStream;

/** Content codings of whole bodies (RFC 9110, section 8.4.1): gzip both ways, and deflate as it is sent by some clients. */
final class Coding {
    /** For {@code Accept-Encoding}, in requests' answers too (RFC 9110, section 12.5.3). */
    static final String TAKEN = "gzip, deflate";

    private Coding() {}

    /** Whether {@link #decoded} can undo it. */
    static boolean known(String coding) {
        return switch (coding.toLowerCase(Locale.ROOT)) {
            case "gzip", "x-gzip", "deflate" -> true;
            default -> false;
        };
    }

    /**
     * A body without its coding.
     *
     * @param most bytes; of one that is larger no more than these are made
     * @return null when it is larger
     * @throws IOException when the body does not follow its coding
     */
    static byte[] decoded(String coding, byte[] body, int most) throws IOException {
        var from = new ByteArrayInputStream(body);
        try (InputStream in = coding.equalsIgnoreCase("deflate") ? new InflaterInputStream(from) : new GZIPInputStream(from)) {
            byte[] whole = in.readNBytes(most);
            return in.read() < 0 ? whole : null;
        } catch (EOFException e) {
            throw new IOException("it ends too early");
        }
    }

    /** As gzip, at the speed that costs an event loop least. */
    static byte[] gzip(byte[] body) {
        var bytes = new ByteArrayOutputStream(body.length / 3 + 64);
        try (var out = new GZIPOutputStream(bytes) {
            {
                def.setLevel(Deflater.BEST_SPEED);
            }
        }) {
            out.write(body);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return bytes.toByteArray();
    }

    /** Whether a client takes gzip: named, or by the star, and not with the weight 0. */
    static boolean takesGzip(List<String> acceptEncoding) {
        Boolean star = null;
        for (String field : acceptEncoding) {
            for (String element : field.split(",")) {
                String[] parts = element.split(";", 2);
                String name = parts[0].strip();
                boolean wanted = parts.length < 2 || !parts[1].replaceAll("\\s", "").matches("(?i)q=0(\\.0*)?");
                if (name.equalsIgnoreCase("gzip")) {
                    return wanted;
                }
                if (name.equals("*")) {
                    star = wanted;
                }
            }
        }
        return Boolean.TRUE.equals(star);
    }
}
