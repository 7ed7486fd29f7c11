package dev.polyphon.server.observe;

import dev.polyphon.server.openai.ApiObserver;
import java.util.List;

/** Tells several observers, in their order. Several times a request: hence the plain loops. */
public record Observers(List<ApiObserver> all) implements ApiObserver {

    public Observers {
        all = List.copyOf(all);
    }

    @Override
    public void accepted(Subject subject) {
        for (int i = 0; i < all.size(); i++) {
            all.get(i).accepted(subject);
        }
    }

    @Override
    public void started(Subject subject) {
        for (int i = 0; i < all.size(); i++) {
            all.get(i).started(subject);
        }
    }

    @Override
    public void firstToken(Subject subject, long nanos) {
        for (int i = 0; i < all.size(); i++) {
            all.get(i).firstToken(subject, nanos);
        }
    }

    @Override
    public void choice(Subject subject, int tokens, long nanos) {
        for (int i = 0; i < all.size(); i++) {
            all.get(i).choice(subject, tokens, nanos);
        }
    }

    @Override
    public void ended(Ended ended) {
        for (int i = 0; i < all.size(); i++) {
            all.get(i).ended(ended);
        }
    }
}
