package dev.polyphon.server.openai;

import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.Sampling;
import java.util.List;

/**
 * A request for tokens in the runtime's terms, of whichever protocol.
 *
 * @param id names the request and its answer
 * @param operation in the words of OpenTelemetry's {@code gen_ai.operation.name}
 * @param prompts each is one generation
 * @param candidates continuations generated of each prompt
 * @param choices continuations returned of each prompt: the likeliest of the candidates
 * @param stream whether the answer is given token by token
 * @param terms on which it is served
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
        Terms terms) {

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
