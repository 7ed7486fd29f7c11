package dev.polyphon.engine.text;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.weights.Gguf;
import dev.polyphon.engine.weights.MalformedFileException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Opens tokenizers: {@code tokenizer.json} of a Hugging Face folder, or the vocabulary inside a GGUF file. */
public final class Tokenizers {
    private static final ObjectMapper JSON = new ObjectMapper();
    /** Far more than any vocabulary has; a hostile file must not make us allocate at will. */
    private static final int MOST_TOKENS = 1 << 23;

    private Tokenizers() {}

    /** From a folder with {@code tokenizer.json} and, for the special tokens' roles, {@code tokenizer_config.json} and {@code generation_config.json}. */
    public static Tokenizer fromFolder(Path folder) throws IOException {
        Path file = folder.resolve("tokenizer.json");
        byte[] content = Files.readAllBytes(file);
        JsonNode json = parse(file, content);
        JsonNode config = optional(folder.resolve("tokenizer_config.json"));
        Set<Integer> ends = new HashSet<>();
        for (String name : new String[] {"config.json", "generation_config.json"}) {
            JsonNode eos = optional(folder.resolve(name)).path("eos_token_id");
            if (eos.isArray()) {
                eos.forEach(id -> ends.add(id.asInt()));
            } else if (eos.isInt()) {
                ends.add(eos.asInt());
            }
        }
        String eos = tokenText(config.path("eos_token"));
        JsonNode vocabulary = json.path("model").path("vocab");
        for (JsonNode added : json.path("added_tokens")) {
            if (added.path("content").asText().equals(eos) && !eos.isEmpty()) {
                ends.add(added.path("id").asInt());
            }
        }
        if (!vocabulary.isObject()) {
            throw new MalformedFileException(file, "model.vocab must be an object; " + json.path("model").path("type") + " models are not supported");
        }
        return open(file, content, json, ends, tokenText(config.path("bos_token")), eos);
    }

    /** From a GGUF file's {@code tokenizer.ggml} metadata, handed on as the {@code tokenizer.json} they were made from. */
    public static Tokenizer fromGguf(Path path, Gguf file) throws IOException {
        JsonNode json = GgufVocabulary.tokenizerJson(path, file);
        List<String> tokens = file.strings("tokenizer.ggml.tokens");
        Set<Integer> ends = new HashSet<>();
        for (String role : new String[] {"eos", "eot", "eom"}) {
            file.findInteger("tokenizer.ggml." + role + "_token_id").ifPresent(id -> ends.add((int) id));
        }
        return open(path, JSON.writeValueAsBytes(json), json, ends, token(file, tokens, "bos"), token(file, tokens, "eos"));
    }

    private static String token(Gguf file, List<String> tokens, String role) throws MalformedFileException {
        long id = file.findInteger("tokenizer.ggml." + role + "_token_id").orElse(-1);
        return id >= 0 && id < tokens.size() ? tokens.get((int) id) : "";
    }

    private static Tokenizer open(Path file, byte[] content, JsonNode json, Set<Integer> ends, String bos, String eos) throws IOException {
        boolean byteLevel = mentions(json.path("decoder"), "ByteLevel");
        int size = 0;
        JsonNode vocabulary = json.path("model").path("vocab");
        for (Map.Entry<String, JsonNode> entry : vocabulary.properties()) {
            size = Math.max(size, id(file, entry.getValue(), entry.getKey()) + 1);
        }
        for (JsonNode added : json.path("added_tokens")) {
            size = Math.max(size, id(file, added.path("id"), added.path("content").asText()) + 1);
        }
        byte[][] bytes = new byte[size][];
        Arrays.fill(bytes, new byte[0]);
        for (Map.Entry<String, JsonNode> entry : vocabulary.properties()) {
            bytes[entry.getValue().asInt()] = byteLevel ? ByteLevel.bytes(entry.getKey()) : pieceBytes(entry.getKey());
        }
        BitSet special = new BitSet(size);
        for (JsonNode added : json.path("added_tokens")) {
            int id = added.path("id").asInt();
            bytes[id] = added.path("content").asText().getBytes(StandardCharsets.UTF_8);
            special.set(id, added.path("special").asBoolean());
        }
        try {
            HuggingFaceTokenizer delegate = HuggingFaceTokenizer.newInstance(new ByteArrayInputStream(content),
                    Map.of("truncation", "false", "padding", "false"));
            return new Tokenizer(delegate, bytes, special, !byteLevel && mentions(json.path("decoder"), "Strip"), ends, bos, eos);
        } catch (RuntimeException e) {
            throw new MalformedFileException(file, "the tokenizer cannot be read: " + e.getMessage(), e);
        }
    }

    private static int id(Path file, JsonNode id, String token) throws MalformedFileException {
        if (!id.isInt() || id.asInt() < 0 || id.asInt() >= MOST_TOKENS) {
            throw new MalformedFileException(file, "the token '" + token + "' has the id " + id + "; ids are 0 to " + (MOST_TOKENS - 1));
        }
        return id.asInt();
    }

    /** A SentencePiece piece: ▁ is a space, {@code <0x0A>} a byte. */
    private static byte[] pieceBytes(String piece) {
        if (piece.length() == 6 && piece.startsWith("<0x") && piece.endsWith(">")) {
            try {
                return new byte[] {(byte) Integer.parseInt(piece.substring(3, 5), 16)};
            } catch (NumberFormatException e) {
                // An ordinary piece that only looks like a byte.
            }
        }
        return piece.replace('\u2581', ' ').getBytes(StandardCharsets.UTF_8);
    }

    private static boolean mentions(JsonNode decoder, String type) {
        if (decoder.path("type").asText().equals(type)) {
            return true;
        }
        for (JsonNode inner : decoder.path("decoders")) {
            if (mentions(inner, type)) {
                return true;
            }
        }
        return false;
    }

    private static String tokenText(JsonNode token) {
        return token.isObject() ? token.path("content").asText() : token.asText("");
    }

    private static JsonNode optional(Path file) throws IOException {
        return Files.isRegularFile(file) ? parse(file, Files.readAllBytes(file)) : JSON.createObjectNode();
    }

    private static JsonNode parse(Path file, byte[] content) throws MalformedFileException {
        try {
            return JSON.readTree(content);
        } catch (JsonProcessingException e) {
            throw new MalformedFileException(file, e.getOriginalMessage());
        } catch (IOException e) {
            throw new MalformedFileException(file, e.getMessage(), e);
        }
    }
}
