package dev.polyphon.server.openai;

import dev.polyphon.runtime.TokenLogprobs;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Response;
import java.util.List;

/** Answers at the end, with everything at once, as one JSON object. */
final class WholeReply extends CollectedReply {
    /** Log probabilities above this are written on a thread of their own: event loops must not be kept from other connections. */
    private static final int INLINE = 1024;

    private final Exchange exchange;
    private final Format format;

    WholeReply(Exchange exchange, Generate request, Format format) {
        super(request);
        this.exchange = exchange;
        this.format = format;
    }

    @Override
    public void scored(int prompt, List<TokenLogprobs> tokens) {
        format.scored(prompt, tokens);
    }

    @Override
    protected void done(List<Choice> choices, Usage usage) {
        if (format.detailed(choices) > INLINE) {
            exchange.offload(() -> write(choices, usage));
        } else {
            write(choices, usage);
        }
    }

    private void write(List<Choice> choices, Usage usage) {
        exchange.respond(Response.json(200, Json.bytes(json -> format.whole(json, choices, usage))));
    }

    @Override
    public void failed(ApiError error) {
        exchange.respond(error.response());
    }
}
