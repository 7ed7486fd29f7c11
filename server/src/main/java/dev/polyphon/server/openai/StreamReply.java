package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.runtime.TokenLogprobs;
import dev.polyphon.server.http.Exchange;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufOutputStream;
import java.util.List;
import java.util.Map;

/**
 * Answers with server-sent events (WHATWG HTML, section 9.2), one a token. The header goes out with the first of them, so that a request that
 * fails before has a status to say so.
 */
final class StreamReply implements Reply {
    private static final String TYPE = "text/event-stream; charset=utf-8";

    private final Exchange exchange;
    private final Format format;
    private final boolean includeUsage;
    private boolean begun;
    private ByteBuf batch;

    StreamReply(Exchange exchange, Format format, boolean includeUsage) {
        this.exchange = exchange;
        this.format = format;
        this.includeUsage = includeUsage;
    }

    @Override
    public void scored(int prompt, List<TokenLogprobs> tokens) {
        format.scored(prompt, tokens);
    }

    @Override
    public void token(int choice, TokenEvent event) {
        if (format.takes(choice, event.text()) || event.logprobs() != null) {
            event(json -> format.chunk(json, choice, event.text(), event.logprobs(), null, includeUsage));
        }
    }

    @Override
    public void finished(int choice, String text, FinishReason reason) {
        format.takes(choice, text);
        event(json -> format.chunk(json, choice, text, null, reason, includeUsage));
    }

    @Override
    public void done(Usage usage) {
        if (includeUsage) {
            event(json -> format.usageChunk(json, usage));
        }
        event(json -> json.writeRaw("[DONE]"));
        flush();
        exchange.end();
    }

    @Override
    public void failed(ApiError error) {
        if (!begun && batch == null) {
            exchange.respond(error.response());
            return;
        }
        event(error::write);
        flush();
        exchange.end();
    }

    @Override
    public boolean flush() {
        if (batch != null) {
            if (!begun) {
                begun = true;
                exchange.begin(200, TYPE, Map.of("Cache-Control", "no-cache", "X-Accel-Buffering", "no"));
            }
            ByteBuf full = batch;
            batch = null;
            exchange.write(full);
        }
        return exchange.writable();
    }

    private void event(Json.Writer data) {
        if (batch == null) {
            batch = exchange.buffer();
        }
        int start = batch.writerIndex();
        try {
            Json.to(new ByteBufOutputStream(batch), json -> {
                json.writeRaw("data: ");
                data.write(json);
                json.writeRaw("\n\n");
            });
        } catch (RuntimeException e) {
            batch.writerIndex(start);
            throw e;
        }
    }
}
