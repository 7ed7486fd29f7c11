package dev.polyphon.server.openai;

import dev.polyphon.server.http.Exchange;
import java.util.function.Function;

/**
 * A request of the OpenAI API.
 *
 * @param reply makes what answers it
 */
record Asked(Generate generate, Function<Exchange, Reply> reply) {

    /** Reads one API's request. */
    interface Reader {
        Asked read(Fields fields, Target target, RequestLimits limits);
    }

    /**
     * One for tokens.
     *
     * @param includeUsage whether a stream ends with the token counts
     * @param format how the answer is written
     */
    static Asked tokens(Generate generate, boolean includeUsage, Format format) {
        return new Asked(generate, exchange ->
                generate.stream() ? new StreamReply(exchange, format, includeUsage) : new WholeReply(exchange, generate, format));
    }
}
