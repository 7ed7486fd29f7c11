package dev.polyphon.server.openai;

import dev.polyphon.runtime.EmbeddingRequest;
import dev.polyphon.runtime.Generation;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.Pooling;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.Sampling;
import dev.polyphon.runtime.TokenSink;
import java.util.List;

/**
 * A request for tokens, or for embeddings, in the runtime's terms, of whichever protocol.
 *
 * @param id names the request and its answer
 * @param operation in the words of OpenTelemetry's {@code gen_ai.operation.name}
 * @param prompts each is one generation
 * @param candidates continuations generated of each prompt
 * @param choices continuations returned of each prompt: the likeliest of the candidates
 * @param stream whether the answer is given token by token
 * @param terms on which it is served
 * @param embed how the prompts are embedded; null when tokens are wanted
 */
public record Generate(
        String id,
        String operation,
        Target target,
        List<Prompt> prompts,
        Sampling sampling,
        int candidates,
        int choices,
        boolean stream,
        Terms terms,
        Embed embed) {

    /**
     * How prompts are embedded.
     *
     * @param atOnce most prompts in the runtime's hands at a time
     */
    record Embed(Pooling pooling, boolean normalize, int atOnce) {}

    /** For tokens. */
    public Generate(String id, String operation, Target target, List<Prompt> prompts, Sampling sampling, int candidates, int choices, boolean stream,
            Terms terms) {
        this(id, operation, target, prompts, sampling, candidates, choices, stream, terms, null);
    }

    /** How many prompts the runtime has at a time; another follows each that is done. */
    int atOnce() {
        return embed == null ? prompts.size() : Math.min(embed.atOnce, prompts.size());
    }

    /** Hands one of the prompts to a runtime. */
    Generation start(int prompt, Runtime runtime, String tenant, TokenSink sink) {
        String name = prompts.size() > 1 ? id + "-" + prompt : id;
        String model = target.base().name();
        return embed == null
                ? runtime.generate(new GenerationRequest(name, model, target.adapters(), prompts.get(prompt), sampling, candidates, terms.of(tenant)), sink)
                : runtime.embed(new EmbeddingRequest(name, model, target.adapters(), prompts.get(prompt), embed.pooling, embed.normalize, terms.of(tenant)),
                        sink);
    }

    static boolean stream(Fields fields) {
        return fields.flag("stream", false);
    }

    static boolean includeUsage(Fields fields, boolean stream) {
        var options = fields.object("stream_options");
        if (options.isPresent() && !stream) {
            throw ApiException.invalid("stream_options", "invalid_value", "The 'stream_options' parameter is only allowed when 'stream' is enabled.");
        }
        return options.map(o -> o.flag("include_usage", false)).orElse(false);
    }

    /** Refuses a request for more continuations than the limits allow. */
    public static void checkSequences(int prompts, int candidates, RequestLimits limits) {
        if ((long) prompts * candidates > limits.sequences()) {
            throw ApiException.invalid("n", "invalid_value", "This request asks for " + prompts + " prompts with " + candidates
                    + " continuations each: at most " + limits.sequences() + " continuations are allowed in one request.");
        }
    }
}
