package dev.polyphon.engine.replica;

import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.runtime.TokenLogprobs;
import dev.polyphon.runtime.TokenSink;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntConsumer;

/** Passes everything on, and tells how many choices ended. */
final class CountedSink implements TokenSink {
    private final TokenSink sink;
    private final AtomicInteger left;
    private final IntConsumer ended;

    CountedSink(TokenSink sink, int choices, IntConsumer ended) {
        this.sink = sink;
        left = new AtomicInteger(choices);
        this.ended = ended;
    }

    @Override
    public void queued() {
        sink.queued();
    }

    @Override
    public void started(int promptTokens, int cachedTokens) {
        sink.started(promptTokens, cachedTokens);
    }

    @Override
    public void scored(List<TokenLogprobs> prompt) {
        sink.scored(prompt);
    }

    @Override
    public void token(TokenEvent event) {
        sink.token(event);
    }

    @Override
    public void embedded(float[] values) {
        sink.embedded(values);
    }

    @Override
    public void finished(int choice, String text, FinishReason reason, int generatedTokens) {
        left.decrementAndGet();
        ended.accept(1);
        sink.finished(choice, text, reason, generatedTokens);
    }

    @Override
    public void failed(RuntimeFault fault) {
        ended.accept(left.getAndSet(0));
        sink.failed(fault);
    }
}
