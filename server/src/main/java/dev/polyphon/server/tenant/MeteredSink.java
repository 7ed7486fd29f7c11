package dev.polyphon.server.tenant;

import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.runtime.TokenLogprobs;
import dev.polyphon.runtime.TokenSink;
import java.util.List;
import java.util.function.Supplier;

/** Counts what a runtime says about one generation, and passes it on. Calls come one at a time. */
final class MeteredSink implements TokenSink {
    private final TokenSink next;
    private final Supplier<UsageMeter.Totals> meter;
    private final Account.Reservation reservation;
    private final int[] counted;
    private UsageMeter.Totals totals;
    private long startedAt;
    private long taken;
    private int unfinished;

    /** @param meter asked once the generation has begun: what never does leaves no trace */
    MeteredSink(TokenSink next, Supplier<UsageMeter.Totals> meter, Account.Reservation reservation, int choices) {
        this.next = next;
        this.meter = meter;
        this.reservation = reservation;
        this.counted = new int[choices];
        this.unfinished = choices;
    }

    @Override
    public void queued() {
        next.queued();
    }

    @Override
    public void started(int promptTokens, int cachedTokens) {
        startedAt = System.nanoTime();
        taken = promptTokens;
        totals = meter.get();
        totals.started(promptTokens, cachedTokens);
        next.started(promptTokens, cachedTokens);
    }

    @Override
    public void scored(List<TokenLogprobs> prompt) {
        next.scored(prompt);
    }

    @Override
    public void token(TokenEvent event) {
        count(event.choice(), 1);
        next.token(event);
    }

    @Override
    public void embedded(float[] values) {
        next.embedded(values);
    }

    /** The number of tokens may be more than were told: those that end an output have no text of their own. */
    @Override
    public void finished(int choice, String text, FinishReason reason, int generatedTokens) {
        count(choice, generatedTokens - counted[choice]);
        if (--unfinished == 0) {
            end();
        }
        next.finished(choice, text, reason, generatedTokens);
    }

    @Override
    public void failed(RuntimeFault fault) {
        end();
        next.failed(fault);
    }

    private void count(int choice, int tokens) {
        if (tokens > 0) {
            counted[choice] += tokens;
            taken += tokens;
            totals.generated(tokens);
        }
    }

    private void end() {
        reservation.settle(taken);
        if (totals != null) {
            totals.ended((System.nanoTime() - startedAt) / 1_000_000);
        }
    }
}
