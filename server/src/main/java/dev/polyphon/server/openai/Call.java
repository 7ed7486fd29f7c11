package dev.polyphon.server.openai;

import dev.polyphon.runtime.Generation;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.server.http.Outlet;
import dev.polyphon.server.tenant.Caller;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A request for tokens or embeddings under way. What the runtime says is queued on its threads and handled on the connection's event loop, all that has come
 * since the last time at once. While the client does not keep up it stays in the queue, which a request's token limit bounds; the generation
 * itself goes on, so a slow client holds no room in the batch. When the client leaves, the generations are cancelled.
 */
public final class Call {
    private static final Logger LOG = LoggerFactory.getLogger(Call.class);

    /** Events written before looking again whether the client keeps up. */
    private static final int BATCH = 256;

    private final Outlet outlet;
    private final Runtime runtime;
    private final Admission admission;
    private final AtomicReference<Place> place = new AtomicReference<>(Place.OUTSIDE);
    private final ApiObserver observer;
    private final Queue<Event> events = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean awake = new AtomicBoolean();
    private final AtomicBoolean firstSeen = new AtomicBoolean();
    private final List<Generation> generations = new ArrayList<>();
    private final AtomicInteger next = new AtomicInteger();
    private boolean cancelled;

    private volatile Generate request;
    private volatile ApiObserver.Subject subject = ApiObserver.Subject.UNKNOWN;

    // On the event loop only.
    private long accepted;
    private long ready;
    private long started;
    private long first;
    private volatile Reply reply;
    private boolean over;
    private int unfinished;
    private int promptTokens;
    private int cachedTokens;
    private int generatedTokens;

    /** Whether it is counted among the requests under way. */
    private enum Place { OUTSIDE, INSIDE, GONE }

    /** Called on the event loop. */
    public Call(Outlet outlet, Runtime runtime, Admission admission, ApiObserver observer) {
        this.outlet = outlet;
        this.runtime = runtime;
        this.admission = admission;
        this.observer = observer;
        outlet.onAbort(this::abandoned);
        outlet.onWritable(this::drain);
    }

    /**
     * Starts the generations; on any thread, once.
     *
     * @param answer hears what becomes of them, on the event loop
     * @throws ApiException when no request is taken now
     */
    public void start(Generate generate, Reply answer) {
        admission.enter();
        if (!place.compareAndSet(Place.OUTSIDE, Place.INSIDE)) {
            // The client has left meanwhile.
            admission.leave();
        }
        subject = Subjects.of(generate, runtime.adapters(), tenant());
        reply = answer;
        unfinished = generate.prompts().size() * generate.candidates();
        request = generate;
        offer(new Event.Accepted(System.nanoTime()), true);
        for (int i = 0; i < generate.atOnce(); i++) {
            startNext();
        }
    }

    private void startNext() {
        int prompt = next.getAndIncrement();
        if (prompt < request.prompts().size()) {
            int candidates = request.candidates();
            add(request.start(prompt, runtime, tenant(), new PromptSink(this, prompt * candidates, candidates)));
        }
    }

    private String tenant() {
        return Caller.of(outlet.caller()).tenantName();
    }

    /**
     * Ends a call that could not be started.
     *
     * @param answer tells the client, on the event loop; not run when it has left
     */
    public void reject(ApiError error, Runnable answer) {
        cancel();
        outlet.execute(() -> {
            if (!over) {
                over(outcome(error));
                answer.run();
            }
        });
    }

    private void add(Generation generation) {
        synchronized (generations) {
            if (!cancelled) {
                generations.add(generation);
                return;
            }
        }
        generation.cancel();
    }

    private void cancel() {
        List<Generation> all;
        synchronized (generations) {
            cancelled = true;
            all = List.copyOf(generations);
        }
        all.forEach(Generation::cancel);
    }

    // On the runtime's threads

    boolean streams() {
        return request.stream();
    }

    void firstToken(long time) {
        if (firstSeen.compareAndSet(false, true)) {
            offer(new Event.First(time), true);
        }
    }

    /** Queues an event. The event loop is woken when it should be handled soon and is not on its way already. */
    void offer(Event event, boolean wake) {
        events.add(event);
        if (wake && awake.compareAndSet(false, true)) {
            outlet.execute(this::drain);
        }
    }

    // On the event loop

    private void drain() {
        awake.set(false);
        if (over) {
            events.clear();
            return;
        }
        try {
            boolean more = true;
            while (more && !over && outlet.writable()) {
                more = handleSome();
                if (!over) {
                    reply.flush();
                }
            }
        } catch (RuntimeException e) {
            LOG.error("request {} failed while its answer was written", request.id(), e);
            cancel();
            over(ApiObserver.Outcome.FAILED);
            outlet.cut();
        }
    }

    /** False when the queue is empty. */
    private boolean handleSome() {
        for (int i = 0; i < BATCH && !over; i++) {
            Event event = events.poll();
            if (event == null) {
                return false;
            }
            handle(event);
        }
        return true;
    }

    private void handle(Event next) {
        switch (next) {
            case Event.Accepted event -> {
                accepted = event.time();
                observer.accepted(subject);
            }
            case Event.Queued event -> ready = started == 0 ? event.time() : ready;
            case Event.Started event -> {
                promptTokens += event.promptTokens();
                cachedTokens += event.cachedTokens();
                reply.started(event.promptTokens());
                if (started == 0) {
                    started = event.time();
                    observer.started(subject);
                }
            }
            case Event.First event -> {
                first = event.time();
                observer.firstToken(subject, first - outlet.request().received());
            }
            case Event.Scored scored -> scored(scored);
            case Event.Token token -> reply.token(token.choice(), token.event());
            case Event.Embedded embedded -> reply.embedded(embedded.choice(), embedded.values());
            case Event.Finished finished -> {
                generatedTokens += finished.tokens();
                observer.choice(subject, finished.tokens(), finished.nanos());
                reply.finished(finished.choice(), finished.text(), finished.reason());
                if (--unfinished == 0) {
                    over(ApiObserver.Outcome.OK);
                    reply.done(new Usage(promptTokens, generatedTokens, cachedTokens));
                } else if (request.embed() != null) {
                    startNext();
                }
            }
            case Event.Failed failed -> fail(failed.fault());
        }
    }

    private void scored(Event.Scored event) {
        try {
            reply.scored(event.prompt(), event.tokens());
        } catch (ApiException e) {
            fail(e.error());
        }
    }

    private void fail(RuntimeFault fault) {
        if (fault.kind() == RuntimeFault.Kind.INTERNAL) {
            LOG.error("request {} failed", request.id(), fault);
        }
        fail(ApiError.of(fault));
    }

    private void fail(ApiError error) {
        cancel();
        over(outcome(error));
        reply.failed(error);
    }

    private void abandoned() {
        cancel();
        if (!over) {
            over(ApiObserver.Outcome.CANCELLED);
        }
    }

    private void over(ApiObserver.Outcome outcome) {
        over = true;
        if (place.getAndSet(Place.GONE) == Place.INSIDE) {
            admission.leave();
        }
        events.clear();
        var times = new ApiObserver.Times(outlet.request().received(), accepted, ready, started, first, System.nanoTime());
        var usage = new Usage(promptTokens, generatedTokens, cachedTokens);
        String id = request == null ? "" : request.id();
        note(id, usage);
        observer.ended(new ApiObserver.Ended(outlet.request(), id, subject, outcome, times, usage));
    }

    /** What the access log tells of this request beside its status and times. */
    private void note(String id, Usage usage) {
        if (request == null) {
            return;
        }
        outlet.note("id", id);
        outlet.note("model", subject.model());
        outlet.note("adapter", subject.adapter());
        outlet.note("tenant", subject.tenant());
        outlet.note("promptTokens", usage.prompt());
        outlet.note("completionTokens", usage.completion());
    }

    private static ApiObserver.Outcome outcome(ApiError error) {
        return switch (error.status()) {
            case 429, 503 -> ApiObserver.Outcome.OVERLOADED;
            default -> error.status() < 500 ? ApiObserver.Outcome.REJECTED : ApiObserver.Outcome.FAILED;
        };
    }
}
