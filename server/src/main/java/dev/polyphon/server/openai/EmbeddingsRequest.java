package dev.polyphon.server.openai;

import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Pooling;
import java.util.List;
import java.util.Locale;

/**
 * Reads {@code POST /v1/embeddings}. Beside OpenAI's fields, {@code pooling} ({@code mean} or {@code last}) says how a text's hidden states become one
 * vector, and {@code normalize} whether it is scaled to length 1, as it is unless that is false.
 */
final class EmbeddingsRequest {
    private static final List<String> ENCODINGS = List.of("float", "base64");
    private static final List<String> POOLINGS = List.of("mean", "last");

    private final EmbeddingSettings settings;

    EmbeddingsRequest(EmbeddingSettings settings) {
        this.settings = settings;
    }

    Asked read(Fields fields, Target target, RequestLimits limits) {
        Unsupported.refuseInEmbedding(fields);
        ModelInfo base = target.base();
        var prompts = Prompts.read(fields, "input", base, settings.inputs());
        boolean base64 = oneOf(fields, "encoding_format", ENCODINGS, "float").equals("base64");
        Pooling pooling = Pooling.valueOf(oneOf(fields, "pooling", POOLINGS, settings.pooling().name().toLowerCase(Locale.ROOT)).toUpperCase(Locale.ROOT));
        checkDimensions(fields, base);
        var embed = new Generate.Embed(pooling, fields.flag("normalize", true), limits.sequences());
        var generate = new Generate(Format.id("embd-"), "embeddings", target, prompts, null, 1, 1, false, Terms.read(fields), embed);
        return new Asked(generate, exchange -> new EmbeddingsReply(exchange, generate, base64));
    }

    /** Shorter embeddings are good for something only where a model was trained for them (Matryoshka representations, Kusupati et al. 2022). */
    private static void checkDimensions(Fields fields, ModelInfo base) {
        int wanted = fields.integer("dimensions", base.width(), 1, Integer.MAX_VALUE);
        if (wanted != base.width()) {
            throw ApiException.invalid("dimensions", "invalid_value", "Invalid 'dimensions': the embeddings of the model '" + base.name() + "' have " + base.width()
                    + " dimensions and were not trained to be shortened, but got " + wanted + ".");
        }
    }

    private static String oneOf(Fields fields, String name, List<String> words, String absent) {
        String word = fields.text(name);
        if (word != null && !words.contains(word)) {
            throw ApiException.invalid(name, "invalid_value", "Invalid value: '" + word + "'. Supported values of '" + name + "' are: '"
                    + String.join("' and '", words) + "'.");
        }
        return word == null ? absent : word;
    }
}
