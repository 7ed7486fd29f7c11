package dev.polyphon.server.openai;

import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Response;
import java.util.List;

/** Answers at the end, with everything at once, as one JSON object. */
final class WholeReply extends CollectedReply {
    private final Exchange exchange;
    private final Format format;

    WholeReply(Exchange exchange, Generate request, Format format) {
        super(request);
        this.exchange = exchange;
        this.format = format;
    }

    @Override
    protected void done(List<Choice> choices, Usage usage) {
        exchange.respond(Response.json(200, Json.bytes(json -> format.whole(json, choices, usage))));
    }

    @Override
    public void failed(ApiError error) {
        exchange.respond(error.response());
    }
}
