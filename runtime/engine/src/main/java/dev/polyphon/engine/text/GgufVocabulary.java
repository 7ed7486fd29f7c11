package dev.polyphon.engine.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.weights.Gguf;
import dev.polyphon.engine.weights.MalformedFileException;
import java.nio.file.Path;
import java.util.List;

/** Writes a GGUF file's byte-level BPE vocabulary as the {@code tokenizer.json} it was converted from. */
final class GgufVocabulary {
    private static final int CONTROL = 3;
    private static final int USER_DEFINED = 4;
    private static final String LLAMA3_WORDS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
            + "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    private static final String QWEN2_WORDS = LLAMA3_WORDS.replace("\\p{N}{1,3}", "\\p{N}");

    private GgufVocabulary() {}

    static JsonNode tokenizerJson(Path path, Gguf file) throws MalformedFileException {
        String model = file.string("tokenizer.ggml.model");
        if (!model.equals("gpt2")) {
            throw new MalformedFileException(path, "tokenizer.ggml.model \"" + model + "\" is not supported without a tokenizer.json");
        }
        List<String> tokens = file.strings("tokenizer.ggml.tokens");
        int[] types = file.findInts("tokenizer.ggml.token_type").orElseGet(() -> new int[tokens.size()]);
        if (types.length != tokens.size()) {
            throw new MalformedFileException(path, "tokenizer.ggml.token_type has " + types.length + " entries for " + tokens.size() + " tokens");
        }
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        ArrayNode added = json.putArray("added_tokens");
        ObjectNode bpe = json.putObject("model").put("type", "BPE");
        ObjectNode vocabulary = bpe.putObject("vocab");
        for (int id = 0; id < tokens.size(); id++) {
            vocabulary.put(tokens.get(id), id);
            if (types[id] == CONTROL || types[id] == USER_DEFINED) {
                added.addObject().put("id", id).put("content", tokens.get(id)).put("single_word", false).put("lstrip", false)
                        .put("rstrip", false).put("normalized", false).put("special", types[id] == CONTROL);
            }
        }
        ArrayNode merges = bpe.putArray("merges");
        file.strings("tokenizer.ggml.merges").forEach(merges::add);
        String pre = file.findString("tokenizer.ggml.pre").orElse("default");
        bpe.put("ignore_merges", pre.equals("llama-bpe"));
        preTokenizer(path, pre, json);
        json.putObject("decoder").put("type", "ByteLevel").put("add_prefix_space", true).put("trim_offsets", true).put("use_regex", true);
        if (file.findBool("tokenizer.ggml.add_bos_token").orElse(false)) {
            beginWith(json, tokens, Math.toIntExact(file.integer("tokenizer.ggml.bos_token_id")));
        }
        return json;
    }

    private static void preTokenizer(Path path, String pre, ObjectNode json) throws MalformedFileException {
        ArrayNode steps = json.putObject("pre_tokenizer").put("type", "Sequence").putArray("pretokenizers");
        boolean gpt2Words = true;
        switch (pre) {
            case "default", "gpt-2" -> {}
            case "smollm" -> steps.addObject().put("type", "Digits").put("individual_digits", true);
            case "llama-bpe", "llama3", "llama-v3" -> {
                split(steps, LLAMA3_WORDS);
                gpt2Words = false;
            }
            case "qwen2" -> {
                json.putObject("normalizer").put("type", "NFC");
                split(steps, QWEN2_WORDS);
                gpt2Words = false;
            }
            default -> throw new MalformedFileException(path, "tokenizer.ggml.pre \"" + pre + "\" is not supported without a tokenizer.json");
        }
        steps.addObject().put("type", "ByteLevel").put("add_prefix_space", false).put("trim_offsets", true).put("use_regex", gpt2Words);
    }

    private static void split(ArrayNode steps, String regex) {
        steps.addObject().put("type", "Split").put("behavior", "Isolated").put("invert", false).putObject("pattern").put("Regex", regex);
    }

    private static void beginWith(ObjectNode json, List<String> tokens, int bos) {
        String token = tokens.get(bos);
        ObjectNode template = json.putObject("post_processor").put("type", "TemplateProcessing");
        ArrayNode single = template.putArray("single");
        single.addObject().putObject("SpecialToken").put("id", token).put("type_id", 0);
        single.addObject().putObject("Sequence").put("id", "A").put("type_id", 0);
        ArrayNode pair = template.putArray("pair");
        pair.addObject().putObject("Sequence").put("id", "A").put("type_id", 0);
        pair.addObject().putObject("Sequence").put("id", "B").put("type_id", 1);
        ObjectNode special = template.putObject("special_tokens").putObject(token).put("id", token);
        special.putArray("ids").add(bos);
        special.putArray("tokens").add(token);
    }
}
