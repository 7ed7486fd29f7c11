package dev.polyphon.server.openai;

import dev.polyphon.server.http.Exchange;

/**
 * A request of the OpenAI API.
 *
 * @param includeUsage whether a stream ends with the token counts
 * @param format how the answer is written
 */
record Asked(Generate generate, boolean includeUsage, Format format) {

    /** Reads one API's request. */
    interface Reader {
        Asked read(Fields fields, Target target, RequestLimits limits);
    }

    Reply reply(Exchange exchange) {
        return generate.stream() ? new StreamReply(exchange, format, includeUsage) : new WholeReply(exchange, generate, format);
    }
}
