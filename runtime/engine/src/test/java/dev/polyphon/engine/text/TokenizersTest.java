package dev.polyphon.engine.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.weights.MalformedFileException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** On small tokenizers made here; that of the default base is held to its reference where the model is. */
class TokenizersTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    Path folder;

    private ObjectNode json;

    /** A byte-level BPE: all bytes, three merges and two special tokens. */
    @BeforeEach
    void byteLevel() {
        json = JSON.createObjectNode();
        ObjectNode model = json.putObject("model").put("type", "BPE");
        ObjectNode vocabulary = model.putObject("vocab");
        int next = 256;
        for (int b = 0; b < 256; b++) {
            boolean itself = b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE;
            vocabulary.put(Character.toString(itself ? b : next++), b);
        }
        vocabulary.put("th", 256).put("the", 257).put("Ġthe", 258);
        ArrayNode merges = model.putArray("merges");
        merges.add("t h").add("th e").add("Ġ the");
        json.putObject("pre_tokenizer").put("type", "ByteLevel").put("add_prefix_space", false).put("trim_offsets", true).put("use_regex", true);
        json.putObject("decoder").put("type", "ByteLevel").put("add_prefix_space", false).put("trim_offsets", true).put("use_regex", true);
        ArrayNode added = json.putArray("added_tokens");
        added.add(special(259, "<s>"));
        added.add(special(260, "<|end|>"));
    }

    private static ObjectNode special(int id, String content) {
        return JSON.createObjectNode().put("id", id).put("content", content).put("single_word", false).put("lstrip", false).put("rstrip", false)
                .put("normalized", false).put("special", true);
    }

    private Tokenizer open() throws IOException {
        Files.write(folder.resolve("tokenizer.json"), JSON.writeValueAsBytes(json));
        Files.writeString(folder.resolve("tokenizer_config.json"), "{\"bos_token\": {\"content\": \"<s>\"}, \"eos_token\": \"<|end|>\"}");
        return Tokenizers.fromFolder(folder);
    }

    @Test
    void mergesAndSpecialTokens() throws IOException {
        try (Tokenizer tokenizer = open()) {
            assertThat(tokenizer.encode("the the<|end|>x", false)).containsExactly(257, 258, 260, 'x');
            assertThat(tokenizer.vocabularySize()).isEqualTo(261);
            assertThat(tokenizer.special(260)).isTrue();
            assertThat(tokenizer.special(257)).isFalse();
            assertThat(tokenizer.endTokens()).containsExactly(260);
            assertThat(tokenizer.bos()).isEqualTo("<s>");
            assertThat(tokenizer.eos()).isEqualTo("<|end|>");
            assertThat(tokenizer.bytes(258)).isEqualTo(" the".getBytes(StandardCharsets.UTF_8));
        }
    }

    @Test
    void anyTextComesBack() throws IOException {
        try (Tokenizer tokenizer = open()) {
            var random = new Random(3);
            for (int round = 0; round < 500; round++) {
                String text = random.ints(random.nextInt(40), 0, 0x110000).map(c -> switch (random.nextInt(4)) {
                    case 0 -> " the\n\t<".charAt(random.nextInt(7));
                    case 1 -> new int[] {0x1F600, 0x200D, 0x301, 0xFE0F, 0x1F1E9, 0x0}[random.nextInt(6)];
                    default -> Character.getType(c) == Character.SURROGATE ? 'é' : c;
                }).collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append).toString();
                int[] ids = tokenizer.encode(text, false);
                assertThat(tokenizer.decode(ids)).isEqualTo(text);
                TextStream stream = tokenizer.stream(List.of());
                var streamed = new StringBuilder();
                for (int id : ids) {
                    streamed.append(stream.push(id));
                }
                assertThat(streamed.append(stream.flush()).toString()).isEqualTo(text);
            }
        }
    }

    @Test
    void longTextsAreNotCut() throws IOException {
        try (Tokenizer tokenizer = open()) {
            assertThat(tokenizer.encode("x".repeat(5000), false)).hasSize(5000);
        }
    }

    @Test
    void idsOutOfRangeAreRefused() {
        for (int id : new int[] {-1, Integer.MIN_VALUE, Integer.MAX_VALUE, 1 << 30}) {
            ((ObjectNode) json.path("model").path("vocab")).put("the", id);
            assertThatThrownBy(this::open).isInstanceOf(MalformedFileException.class).hasMessageContaining("" + id).hasMessageContaining("the");
        }
    }

    @Test
    void brokenFilesFailInOneWay() throws IOException {
        byte[] good = JSON.writeValueAsBytes(json);
        var random = new Random(5);
        for (int round = 0; round < 150; round++) {
            byte[] bad = good.clone();
            for (int i = random.nextInt(4); i >= 0; i--) {
                bad[random.nextInt(bad.length)] = (byte) "{}[],:\"0-9ex \u0000".charAt(random.nextInt(14));
            }
            int length = random.nextInt(4) == 0 ? random.nextInt(bad.length) : bad.length;
            Files.write(folder.resolve("tokenizer.json"), java.util.Arrays.copyOf(bad, length));
            try (Tokenizer tokenizer = Tokenizers.fromFolder(folder)) {
                assertThat(tokenizer.vocabularySize()).isPositive();
            } catch (MalformedFileException e) {
                assertThat(e.getMessage()).contains("tokenizer.json");
            }
        }
    }
}
