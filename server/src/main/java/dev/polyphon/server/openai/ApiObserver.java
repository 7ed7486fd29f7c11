package dev.polyphon.server.openai;

/**
 * Hears what becomes of requests for tokens, for metrics. Called on event loops: must not block.
 *
 * <p>Models and adapters are named only after they were found; the names are empty for a request that failed before, and the adapter's is
 * empty for the base alone.
 */
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

    /** The first token of a request was computed, so long after its header had been read. */
    default void firstToken(String model, String adapter, long nanos) {}

    /**
     * A choice ended.
     *
     * @param tokens generated
     * @param nanos between its first token and its last
     */
    default void choice(String model, String adapter, int tokens, long nanos) {}

    /**
     * A request ended, so long after its header had been read.
     *
     * @param usage tokens, as far as they are known
     */
    default void ended(String model, String adapter, Outcome outcome, long nanos, Usage usage) {}
}
