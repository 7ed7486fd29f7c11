package dev.polyphon.server.observe;

import dev.polyphon.server.openai.ApiObserver;
import java.util.List;

/** Tells several observers, in their order. */
public record Observers(List<ApiObserver> all) implements ApiObserver {

    @Override
    public void accepted(Subject subject) {
        all.forEach(one -> one.accepted(subject));
    }

    @Override
    public void started(Subject subject) {
        all.forEach(one -> one.started(subject));
    }

    @Override
    public void firstToken(Subject subject, long nanos) {
        all.forEach(one -> one.firstToken(subject, nanos));
    }

    @Override
    public void choice(Subject subject, int tokens, long nanos) {
        all.forEach(one -> one.choice(subject, tokens, nanos));
    }

    @Override
    public void ended(Ended ended) {
        all.forEach(one -> one.ended(ended));
    }
}
