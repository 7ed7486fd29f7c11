package dev.polyphon.engine;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.text.ChatTemplate;
import dev.polyphon.engine.text.TemplateException;
import dev.polyphon.engine.text.TextStream;
import dev.polyphon.engine.text.Tokenizer;
import dev.polyphon.engine.text.Tokenizers;
import dev.polyphon.engine.weights.Gguf;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.TextCodec;
import dev.polyphon.runtime.ToolFormat;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;

/** A model's tokenizer and chat template, as far as it has them: without a tokenizer, prompts are token ids and outputs have no text. */
final class ModelText implements TextCodec, AutoCloseable {
    private static final byte[] NONE = {};

    private final Tokenizer tokenizer;
    private final ChatTemplate template;

    private ModelText(Tokenizer tokenizer, ChatTemplate template) {
        this.tokenizer = tokenizer;
        this.template = template;
    }

    static ModelText open(Path model) throws IOException {
        if (!Files.isDirectory(model)) {
            try (Gguf file = Gguf.open(model)) {
                Tokenizer tokenizer = Tokenizers.fromGguf(model, file);
                return new ModelText(tokenizer, template(file.findString("tokenizer.chat_template").orElse(null), tokenizer));
            }
        }
        if (!Files.isRegularFile(model.resolve("tokenizer.json"))) {
            return new ModelText(null, null);
        }
        Tokenizer tokenizer = Tokenizers.fromFolder(model);
        return new ModelText(tokenizer, template(templateOf(model), tokenizer));
    }

    private static ChatTemplate template(String source, Tokenizer tokenizer) {
        return source == null ? null : new ChatTemplate(source, tokenizer.bos(), tokenizer.eos());
    }

    private static String templateOf(Path folder) throws IOException {
        Path file = folder.resolve("chat_template.jinja");
        if (Files.isRegularFile(file)) {
            return Files.readString(file);
        }
        Path config = folder.resolve("tokenizer_config.json");
        if (!Files.isRegularFile(config)) {
            return null;
        }
        JsonNode template = new ObjectMapper().readTree(config.toFile()).path("chat_template");
        for (JsonNode named : template) {
            if (named.path("name").asText().equals("default")) {
                return named.path("template").asText();
            }
        }
        return template.textValue();
    }

    @Override
    public int[] encode(Prompt prompt) {
        return switch (prompt) {
            case Prompt.Tokens(int[] ids) -> ids;
            case Prompt.Text(String text, boolean addSpecialTokens) -> tokenizer().encode(text, addSpecialTokens);
            case Prompt.Chat chat -> tokenizer().encode(render(chat), false);
        };
    }

    @Override
    public String decode(int[] ids) {
        return tokenizer().decode(ids, true);
    }

    private Tokenizer tokenizer() {
        if (tokenizer == null) {
            throw RuntimeFault.invalid("prompt", "this model has no tokenizer: the prompt must be token ids");
        }
        return tokenizer;
    }

    ToolFormat tools() {
        return template == null ? ToolFormat.NONE : template.tools();
    }

    private String render(Prompt.Chat chat) {
        if (template == null) {
            throw RuntimeFault.invalid("messages", "this model has no chat template");
        }
        try {
            return template.render(chat);
        } catch (TemplateException e) {
            throw RuntimeFault.invalid("messages", e.getMessage());
        }
    }

    Set<Integer> endTokens() {
        return tokenizer == null ? Set.of() : tokenizer.endTokens();
    }

    byte[] bytes(int token) {
        return tokenizer == null ? NONE : tokenizer.bytes(token);
    }

    /** The bytes a token is written with, special ones as well. */
    byte[] written(int token) {
        return tokenizer == null ? NONE : tokenizer.written(token);
    }

    boolean stripsFirstSpace() {
        return tokenizer != null && tokenizer.stripsFirstSpace();
    }

    TextStream stream(List<String> stop) {
        return tokenizer == null ? TextStream.none() : tokenizer.stream(stop);
    }

    @Override
    public void close() {
        if (tokenizer != null) {
            tokenizer.close();
        }
    }
}
