package dev.polyphon.server.openai;

import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.runtime.TokenLogprobs;
import dev.polyphon.runtime.TokenSink;
import java.util.List;

/** Passes what a runtime says about one prompt to its call. Runs on the runtime's threads: notes the time and queues, nothing else. */
final class PromptSink implements TokenSink {
    private final Call call;
    private final int firstChoice;
    private final long[] first;
    private final long[] last;

    PromptSink(Call call, int firstChoice, int choices) {
        this.call = call;
        this.firstChoice = firstChoice;
        this.first = new long[choices];
        this.last = new long[choices];
    }

    @Override
    public void queued() {
        call.offer(new Event.Queued(System.nanoTime()), false);
    }

    @Override
    public void started(int promptTokens, int cachedTokens) {
        call.offer(new Event.Started(promptTokens, cachedTokens, System.nanoTime()), true);
    }

    @Override
    public void scored(List<TokenLogprobs> prompt) {
        call.offer(new Event.Scored(firstChoice / first.length, prompt), false);
    }

    @Override
    public void token(TokenEvent event) {
        long now = System.nanoTime();
        if (first[event.choice()] == 0) {
            first[event.choice()] = now;
            call.firstToken(now);
        }
        last[event.choice()] = now;
        call.offer(new Event.Token(firstChoice + event.choice(), event), call.streams());
    }

    @Override
    public void embedded(float[] values) {
        call.offer(new Event.Embedded(firstChoice, values), false);
    }

    @Override
    public void finished(int choice, String text, FinishReason reason, int generatedTokens) {
        call.offer(new Event.Finished(firstChoice + choice, text, reason, generatedTokens, last[choice] - first[choice]), true);
    }

    @Override
    public void failed(RuntimeFault fault) {
        call.offer(new Event.Failed(fault), true);
    }
}
