package dev.polyphon.server.openai;

import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.Sampling;
import java.util.List;

/**
 * A request of either API in the runtime's terms.
 *
 * @param prompts each is one generation
 * @param candidates continuations generated of each prompt
 * @param choices continuations returned of each prompt: the likeliest of the candidates
 * @param includeUsage whether a stream ends with the token counts
 * @param format how the answer is written
 */
record Generate(
        Target target,
        List<Prompt> prompts,
        Sampling sampling,
        int candidates,
        int choices,
        boolean stream,
        boolean includeUsage,
        Format format) {

    /** Reads one API's request. */
    interface Reader {
        Generate read(Fields fields, Target target, RequestLimits limits);
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

    static void checkSequences(int prompts, int candidates, RequestLimits limits) {
        if ((long) prompts * candidates > limits.sequences()) {
            throw ApiException.invalid("n", "invalid_value", "This request asks for " + prompts + " prompts with " + candidates
                    + " continuations each: at most " + limits.sequences() + " continuations are allowed in one request.");
        }
    }
}
