package dev.polyphon.engine.schedule;

import dev.polyphon.engine.backend.Batch;
import dev.polyphon.engine.backend.Draw;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.model.AdapterPlan;
import dev.polyphon.engine.model.AdapterPlan.Segment;
import dev.polyphon.engine.model.AdapterWeights.Prefix;
import dev.polyphon.engine.model.Decoder;
import dev.polyphon.engine.sample.Choice;
import dev.polyphon.engine.schedule.ActiveGeneration.Continuation;
import java.util.List;

/** Runs the decoder over work of a step, and holds what comes of it until the next call. Used by the step loop's thread alone. */
final class Forward {
    private final Decoder decoder;
    private final KvCache cache;
    private final int vocabulary;
    private final float[] logits;
    private final int[] tokens;
    private final Draw[] draws;
    /** Hidden states, once some were wanted. */
    private float[] states = {};
    private AdapterPlan adapters = AdapterPlan.NONE;
    private boolean chosen;

    /** @param vocabulary logits per row */
    Forward(Decoder decoder, KvCache cache, int vocabulary) {
        this.decoder = decoder;
        this.cache = cache;
        this.vocabulary = vocabulary;
        logits = new float[decoder.maxLogitRows() * vocabulary];
        tokens = new int[decoder.maxLogitRows()];
        draws = new Draw[decoder.maxLogitRows()];
    }

    /** Computes some work. What it throws leaves nothing behind but keys and values of the rows of that work. */
    void compute(List<Work> part) {
        StepRows step = StepRows.of(part);
        Batch batch = step.batch();
        int[] logitRows = new int[part.size()];
        int count = 0;
        for (int i = 0; i < part.size(); i++) {
            Work work = part.get(i);
            if (draws(work)) {
                draws[count] = ((Continuation) work.sequence()).sampler.draw();
                logitRows[count++] = batch.firstRow()[i + 1] - 1;
            }
        }
        writePrefixes(part);
        chosen = decoder.forward(batch, plan(step.segments()), cache, hidden(part, batch), scored(part, batch), logitRows, count, draws, tokens, logits);
    }

    /** Whether a token follows on a sequence's work. */
    static boolean draws(Work work) {
        return work.samples() && ((Continuation) work.sequence()).generates();
    }

    /** The token that follows for the sequence that draws at a place among those that do. */
    Choice choice(Continuation continuation, int place) {
        return chosen && draws[place] != null ? continuation.sampler.chosen(tokens[place]) : continuation.sampler.next(logits, place * vocabulary);
    }

    /** Hidden states of those that pool them, one after the other, each from {@link Pooled#first} on. */
    float[] states() {
        return states;
    }

    int width() {
        return decoder.width();
    }

    /** Which rows used which adapter. */
    List<Segment> segments() {
        return adapters.segments();
    }

    /** The plan of the time before, when the same adapters still have the same rows. */
    private AdapterPlan plan(List<Segment> segments) {
        if (!segments.equals(adapters.segments())) {
            adapters = segments.isEmpty() ? AdapterPlan.NONE : new AdapterPlan(segments);
        }
        return adapters;
    }

    /** The rows whose hidden states are pooled. */
    private Decoder.Hidden hidden(List<Work> part, Batch batch) {
        int[] rows = null;
        int count = 0;
        for (int i = 0; i < part.size(); i++) {
            Work work = part.get(i);
            Pooled pooled = ((Continuation) work.sequence()).pooled;
            if (pooled != null) {
                rows = rows == null ? new int[batch.rows()] : rows;
                for (int r = batch.firstRow()[i] + pooled.first(work) - work.from(); r < batch.firstRow()[i + 1]; r++) {
                    rows[count++] = r;
                }
            }
        }
        if (count == 0) {
            return Decoder.Hidden.NONE;
        }
        states = states.length == 0 ? new float[decoder.maxRows() * decoder.width()] : states;
        return new Decoder.Hidden(rows, count, states);
    }

    /** The rows whose logits tell how likely the prompt's next token was. */
    private Decoder.Read scored(List<Work> part, Batch batch) {
        int[] rows = null;
        int[] works = null;
        int count = 0;
        for (int i = 0; i < part.size(); i++) {
            Work work = part.get(i);
            Scored scored = ((Continuation) work.sequence()).scored;
            int end = scored == null ? 0 : scored.end(work);
            for (int p = scored == null ? 0 : scored.first(work); p < end; p++) {
                rows = rows == null ? new int[batch.rows()] : rows;
                works = works == null ? new int[batch.rows()] : works;
                works[count] = i;
                rows[count++] = batch.firstRow()[i] + p - work.from();
            }
        }
        if (count == 0) {
            return Decoder.Read.NONE;
        }
        int[] of = works;
        return new Decoder.Read(rows, count, (index, row, values, from) -> {
            Work work = part.get(of[index]);
            Continuation continuation = (Continuation) work.sequence();
            continuation.scored.read(continuation, work.from() + row - batch.firstRow()[of[index]], values, from);
        });
    }

    /** Sequences that begin, or begin again, get the keys and values that their adapter brings along. */
    private void writePrefixes(List<Work> part) {
        for (Work work : part) {
            Sequence sequence = work.sequence();
            if (sequence.given() > 0 && work.from() == sequence.given()) {
                decoder.writePrefix((Prefix.KeysValues) sequence.adapter().prefix(), sequence.blocks(), cache);
            }
        }
    }
}
