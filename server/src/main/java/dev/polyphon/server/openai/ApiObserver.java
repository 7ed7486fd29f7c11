package dev.polyphon.server.openai;

import dev.polyphon.server.http.Request;

/** Hears what becomes of requests for tokens, for metrics and traces. Called on event loops: must not block. */
public interface ApiObserver {
    ApiObserver NONE = new ApiObserver() {};

    /** How a request ended. */
    enum Outcome {
        OK,
        /** It was wrong. */
        REJECTED,
        /** There was no room for it. */
        OVERLOADED,
        /** The client left. */
        CANCELLED,
        /** The server failed. */
        FAILED
    }

    /**
     * What a request asked for. Model and adapter are named only after they were found: all names are empty for a request that failed before.
     *
     * @param operation in the words of OpenTelemetry's {@code gen_ai.operation.name}: {@code chat}, {@code text_completion} or {@code embeddings}
     * @param model the base model
     * @param adapter empty for the base alone
     * @param adapterClass the adapter's kind in lower case, {@code none} for the base alone, {@code mix} for several adapters
     * @param tenant who asks
     */
    record Subject(String operation, String model, String adapter, String adapterClass, String tenant) {
        public static final Subject UNKNOWN = new Subject("", "", "", "", "");
    }

    /**
     * When a request got how far, by {@link System#nanoTime()}; 0 for what it never reached.
     *
     * @param received its header had been read
     * @param accepted it was handed to the runtime
     * @param ready its adapters were where the model computes; 0 where the runtime does not tell
     * @param started the first of its prompts entered the batch
     * @param firstToken its first token was computed
     */
    record Times(long received, long accepted, long ready, long started, long firstToken, long ended) {
        public long nanos() {
            return ended - received;
        }
    }

    /**
     * A request and its end.
     *
     * @param id of the answer; empty for a request that failed before there was one
     * @param usage tokens, as far as they are known
     */
    record Ended(Request request, String id, Subject subject, Outcome outcome, Times times, Usage usage) {}

    /** A request was handed to the runtime, and waits. */
    default void accepted(Subject subject) {}

    /** The first of its prompts entered the batch. */
    default void started(Subject subject) {}

    /** The first token of a request was computed, so long after its header had been read. */
    default void firstToken(Subject subject, long nanos) {}

    /**
     * A choice ended.
     *
     * @param tokens generated
     * @param nanos between its first token and its last
     */
    default void choice(Subject subject, int tokens, long nanos) {}

    /** A request ended; told once of every request, also of one that was never accepted. */
    default void ended(Ended ended) {}
}
