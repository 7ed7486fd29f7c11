package dev.polyphon.engine;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.runtime.TokenLogprobs;
import dev.polyphon.runtime.TokenSink;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;

/** A sink that keeps what it hears, for a single choice. */
class Collected implements TokenSink {
    final List<Integer> tokens = new ArrayList<>();
    final List<TokenLogprobs> logprobs = new ArrayList<>();
    /** Null as long as nothing was told. */
    List<TokenLogprobs> scored;
    int cachedTokens;
    final StringBuilder text = new StringBuilder();
    final CountDownLatch started = new CountDownLatch(1);
    /** How often it heard of its end. */
    final AtomicInteger ends = new AtomicInteger();
    final CompletableFuture<FinishReason> end = new CompletableFuture<>();
    private final CountDownLatch enough;

    Collected() {
        this(Integer.MAX_VALUE);
    }

    /** @param tokens after how many {@link #awaitTokens} returns */
    Collected(int tokens) {
        enough = new CountDownLatch(Math.min(tokens, 1 << 20));
    }

    @Override
    public void started(int promptTokens, int cachedTokens) {
        this.cachedTokens = cachedTokens;
        started.countDown();
    }

    @Override
    public void scored(List<TokenLogprobs> prompt) {
        assertThat(scored).as("told once").isNull();
        assertThat(tokens).as("tokens before the prompt").isEmpty();
        scored = prompt;
    }

    @Override
    public void token(TokenEvent event) {
        tokens.add(event.token());
        logprobs.add(event.logprobs());
        text.append(event.text());
        enough.countDown();
    }

    @Override
    public void finished(int choice, String rest, FinishReason reason, int generatedTokens) {
        text.append(rest);
        ends.incrementAndGet();
        end.complete(reason);
    }

    @Override
    public void failed(RuntimeFault fault) {
        ends.incrementAndGet();
        end.completeExceptionally(fault);
    }

    void awaitTokens() throws InterruptedException {
        enough.await();
    }

    /** Each token with its log probability, bit for bit; of a request that asked for them. */
    List<String> bits() {
        List<String> bits = new ArrayList<>();
        for (int i = 0; i < tokens.size(); i++) {
            bits.add(tokens.get(i) + " " + Integer.toHexString(Float.floatToRawIntBits(logprobs.get(i).chosen().logprob())));
        }
        return bits;
    }

    List<Integer> join() {
        end.join();
        return tokens;
    }
}
