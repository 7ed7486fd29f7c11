package dev.polyphon.server.admin;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class MultipartTest {
    private static final String TYPE = "multipart/form-data; boundary=\"x-y\"";

    /** A body that comes in pieces of any size. */
    private static final class Pieces extends ByteArrayInputStream {
        private final Random random;

        Pieces(byte[] bytes, Random random) {
            super(bytes);
            this.random = random;
        }

        @Override
        public synchronized int read(byte[] target, int offset, int length) {
            return super.read(target, offset, 1 + random.nextInt(length));
        }
    }

    private static Map<String, byte[]> read(InputStream body) throws IOException {
        Multipart parts = Multipart.of(body, TYPE);
        Map<String, byte[]> files = new LinkedHashMap<>();
        for (String name = parts.next(); name != null; name = parts.next()) {
            files.put(name, parts.content().readAllBytes());
        }
        assertThat(parts.next()).isNull();
        return files;
    }

    @Property(tries = 200)
    void givesBackWhatWasSent(@ForAll long seed, @ForAll @IntRange(max = 5) int count) throws IOException {
        Random random = new Random(seed);
        // Content full of what looks like boundaries.
        String[] pieces = {"\r\n--x-", "\r\n--", "\r", "\n", "--x-y", "x", "\r\n--x-\r\n", "\0"};
        Map<String, byte[]> sent = new LinkedHashMap<>();
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        for (int i = 0; i < count; i++) {
            ByteArrayOutputStream content = new ByteArrayOutputStream();
            for (int n = random.nextInt(random.nextInt(20) == 0 ? 60_000 : 12); n > 0; n--) {
                content.writeBytes(pieces[random.nextInt(pieces.length)].getBytes(StandardCharsets.ISO_8859_1));
            }
            if (content.toString(StandardCharsets.ISO_8859_1).contains("\r\n--x-y")) {
                content.reset();
            }
            String name = "d/\u00fc \"" + i + "\".bin";
            sent.put(name, content.toByteArray());
            body.writeBytes(("--x-y\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + name.replace("\"", "\\\"")
                    + "\"\r\nContent-Type: application/octet-stream\r\n\r\n").getBytes(StandardCharsets.UTF_8));
            body.writeBytes(content.toByteArray());
            body.writeBytes("\r\n".getBytes(StandardCharsets.UTF_8));
        }
        body.writeBytes("--x-y--\r\n".getBytes(StandardCharsets.UTF_8));
        Map<String, byte[]> got = read(new Pieces(body.toByteArray(), random));
        assertThat(got.keySet()).containsExactlyElementsOf(sent.keySet());
        got.forEach((name, bytes) -> assertThat(bytes).isEqualTo(sent.get(name)));
        if (body.size() > 12) {
            byte[] cut = java.util.Arrays.copyOf(body.toByteArray(), random.nextInt(body.size() - 6));
            assertThatThrownBy(() -> read(new Pieces(cut, random))).isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void refusesWhatIsNone() {
        assertThatThrownBy(() -> Multipart.of(InputStream.nullInputStream(), "multipart/form-data")).hasMessageContaining("boundary");
        refused("nothing of the kind", "last boundary");
        refused("--x-yz\r\n\r\n\r\n--x-y--\r\n", "follows a boundary");
        refused("--x-y\r\nContent-Disposition: form-data; name=\"owner\"\r\n\r\nacme\r\n--x-y--\r\n", "is no file");
        refused("--x-y\r\n" + "a".repeat(20_000) + "\r\n\r\n\r\n--x-y--\r\n", "longer than");
    }

    private static void refused(String body, String why) {
        assertThatThrownBy(() -> read(new ByteArrayInputStream(body.getBytes(StandardCharsets.ISO_8859_1)))).isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(why);
    }
}
