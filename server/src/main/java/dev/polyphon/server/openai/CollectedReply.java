package dev.polyphon.server.openai;

import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.runtime.TokenLogprobs;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/** Answers at the end, with everything at once. */
public abstract class CollectedReply implements Reply {
    private final Generate request;
    private final List<Candidate> candidates = new ArrayList<>();

    private static final class Candidate {
        final StringBuilder text = new StringBuilder();
        final List<TokenLogprobs> logprobs = new ArrayList<>();
        FinishReason reason;
        int tokens;
    }

    protected CollectedReply(Generate request) {
        this.request = request;
        for (int i = 0; i < request.prompts().size() * request.candidates(); i++) {
            candidates.add(new Candidate());
        }
    }

    @Override
    public final void token(int choice, TokenEvent event) {
        Candidate candidate = candidates.get(choice);
        candidate.text.append(event.text());
        candidate.tokens++;
        if (event.logprobs() != null) {
            candidate.logprobs.add(event.logprobs());
        }
    }

    @Override
    public final void finished(int choice, String text, FinishReason reason) {
        candidates.get(choice).text.append(text);
        candidates.get(choice).reason = reason;
    }

    @Override
    public final void done(Usage usage) {
        done(chosen(), usage);
    }

    /** Answers with the choices to return, prompt by prompt. */
    protected abstract void done(List<Choice> choices, Usage usage);

    private List<Choice> chosen() {
        var chosen = new ArrayList<Choice>();
        for (int first = 0; first < candidates.size(); first += request.candidates()) {
            var ofPrompt = candidates.subList(first, first + request.candidates()).stream()
                    .map(candidate -> new Choice(candidate.text.toString(), candidate.logprobs, candidate.reason, candidate.tokens));
            if (request.candidates() > request.choices()) {
                ofPrompt = ofPrompt.sorted(Comparator.comparingDouble(Choice::likelihood).reversed()).limit(request.choices());
            }
            ofPrompt.forEach(chosen::add);
        }
        return chosen;
    }

    @Override
    public final boolean flush() {
        return true;
    }
}
