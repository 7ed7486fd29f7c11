package dev.polyphon.engine.text;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;

class TextStreamTest {
    private static final String[] PIECES = {"a", "b", "é", "ß", "世", "界", "😀", "👩‍🚀", "e\u0301", "\u0000", "\n", " ", "\uFFFD", "🇩🇪", "ab"};

    private record Run(List<String> pieces, boolean stopped) {
        String text() {
            return String.join("", pieces);
        }
    }

    private static Run run(List<byte[]> tokens, boolean strips, List<String> stops) {
        var stream = new TextStream(tokens::get, strips, stops);
        var pieces = new ArrayList<String>();
        for (int i = 0; i < tokens.size() && !stream.stopped(); i++) {
            pieces.add(stream.push(i));
        }
        pieces.add(stream.flush());
        return new Run(pieces, stream.stopped());
    }

    private static List<byte[]> split(byte[] all, Random random) {
        var tokens = new ArrayList<byte[]>();
        for (int at = 0; at < all.length;) {
            int length = Math.min(all.length - at, random.nextInt(5));
            tokens.add(Arrays.copyOfRange(all, at, at + length));
            at += length;
        }
        return tokens;
    }

    private static String text(Random random, String... of) {
        var text = new StringBuilder();
        for (int i = random.nextInt(30); i > 0; i--) {
            text.append(of[random.nextInt(of.length)]);
        }
        return text.toString();
    }

    @Property
    void anySplitGivesTheSameTextInWholeCharacters(@ForAll long seed) {
        var random = new Random(seed);
        String text = text(random, PIECES);
        Run run = run(split(text.getBytes(StandardCharsets.UTF_8), random), false, List.of());
        assertThat(run.text()).isEqualTo(text);
        for (String piece : run.pieces) {
            assertThat(new String(piece.getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8)).isEqualTo(piece);
            if (!text.contains("\uFFFD")) {
                assertThat(piece).doesNotContain("\uFFFD");
            }
        }
    }

    @Property
    void malformedBytesBecomeTheSameReplacementsInAnySplit(@ForAll long seed) {
        var random = new Random(seed);
        byte[] bytes = text(random, PIECES).getBytes(StandardCharsets.UTF_8);
        for (int i = 0; i < bytes.length; i += 1 + random.nextInt(6)) {
            bytes[i] = new byte[] {(byte) 0x80, (byte) 0xBF, (byte) 0xC0, (byte) 0xE0, (byte) 0xED, (byte) 0xF0, (byte) 0xF4, (byte) 0xFF, 'x'}[random.nextInt(9)];
        }
        assertThat(run(split(bytes, random), false, List.of()).text()).isEqualTo(replaced(bytes));
    }

    /** By the standard's definition (Unicode, 3.9, maximal subparts), with nothing but a strict decoder. */
    private static String replaced(byte[] bytes) {
        var text = new StringBuilder();
        for (int at = 0; at < bytes.length;) {
            int length = 1;
            while (length <= 4 && at + length <= bytes.length && !valid(bytes, at, length)) {
                length++;
            }
            if (length <= 4 && at + length <= bytes.length) {
                text.append(new String(bytes, at, length, StandardCharsets.UTF_8));
            } else {
                length = 1;
                while (at + length < bytes.length && length < 3 && startsCharacter(Arrays.copyOfRange(bytes, at, at + length + 1))) {
                    length++;
                }
                text.append('\uFFFD');
            }
            at += length;
        }
        return text.toString();
    }

    private static boolean startsCharacter(byte[] start) {
        if (start.length == 4) {
            return false;
        }
        for (byte next : new byte[] {(byte) 0x80, (byte) 0x90, (byte) 0xBF}) {
            byte[] longer = Arrays.copyOf(start, start.length + 1);
            longer[start.length] = next;
            if (valid(longer, 0, longer.length) || startsCharacter(longer)) {
                return true;
            }
        }
        return false;
    }

    private static boolean valid(byte[] bytes, int at, int length) {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes, at, length)).toString().codePoints().count() == 1;
        } catch (CharacterCodingException e) {
            return false;
        }
    }

    @Property
    void textEndsBeforeTheStopString(@ForAll long seed) {
        var random = new Random(seed);
        String text = text(random, "a", "b", "é");
        String stop = text(random, "a", "b", "é") + "a";
        stop = stop.substring(0, Math.min(stop.length(), 1 + random.nextInt(4)));
        Run run = run(split(text.getBytes(StandardCharsets.UTF_8), random), false, List.of(stop));
        assertThat(run.stopped).isEqualTo(text.contains(stop));
        assertThat(run.text()).isEqualTo(run.stopped ? text.substring(0, text.indexOf(stop)) : text);
    }

    @Property
    void ofSeveralStopStringsNoneIsInTheText(@ForAll long seed) {
        var random = new Random(seed);
        String text = text(random, "a", "b", "c");
        List<String> stops = List.of("ab", "bca", "cc", "aaa");
        Run run = run(split(text.getBytes(StandardCharsets.UTF_8), random), false, stops);
        assertThat(text).startsWith(run.text());
        assertThat(run.stopped).isEqualTo(stops.stream().anyMatch(text::contains));
        assertThat(stops).noneMatch(run.text()::contains);
        if (run.stopped) {
            assertThat(stops).anyMatch(s -> text.startsWith(s, run.text().length()));
        }
    }

    @Test
    void theFirstSpaceAloneIsStripped() {
        List<byte[]> tokens = List.of(new byte[0], "  a".getBytes(StandardCharsets.UTF_8), " b".getBytes(StandardCharsets.UTF_8));
        assertThat(run(tokens, true, List.of()).text()).isEqualTo(" a b");
        assertThat(run(tokens, false, List.of()).text()).isEqualTo("  a b");
    }

    @Test
    void charactersComeAsSoonAsTheyAreWhole() {
        byte[] face = "😀".getBytes(StandardCharsets.UTF_8);
        var tokens = List.of(new byte[] {face[0]}, new byte[] {face[1], face[2]}, new byte[] {face[3]}, new byte[] {'x'});
        assertThat(run(tokens, false, List.of()).pieces).containsExactly("", "", "😀", "x", "");
    }
}
