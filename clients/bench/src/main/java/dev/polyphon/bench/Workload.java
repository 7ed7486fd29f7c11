package dev.polyphon.bench;

import java.util.List;

/**
 * A load.
 *
 * @param adapters how many adapters take turns; 0 for the base alone
 * @param concurrency requests under way at once (closed loop); no bound when {@code rate} is set
 * @param rate requests a second on average, at random moments (open loop); 0 for a closed loop
 * @param zipf exponent of the adapters' popularity; 0 for turns
 * @param promptTokens words of a prompt, each about one token
 * @param newTokens tokens to generate
 */
record Workload(String name, String title, int adapters, int concurrency, int requests, double rate, double zipf, int promptTokens, int newTokens) {
    /** The loads that figures are reported for. */
    static final List<Workload> PRESETS = List.of(
            new Workload("W1", "base, one stream", 0, 1, 3, 0, 0, 128, 128),
            new Workload("W2", "one adapter, one stream", 1, 1, 3, 0, 0, 128, 128),
            new Workload("W3", "base, 16 at once", 0, 16, 48, 0, 0, 64, 64),
            new Workload("W3b", "one adapter, 16 at once", 1, 16, 32, 0, 0, 64, 64),
            new Workload("W4", "16 adapters, 16 at once", 16, 16, 32, 0, 0, 64, 64),
            new Workload("W5", "16 adapters by Zipf's law, 4 a second", 16, 64, 64, 4, 1, 64, 32),
            new Workload("W6", "prompts of 512", 0, 1, 4, 0, 0, 512, 1));

    Workload {
        require(adapters >= 0, "--adapters", adapters, "0 or more");
        require(concurrency > 0, "--concurrency", concurrency, "1 or more");
        require(requests > 0, "--requests", requests, "1 or more");
        require(rate >= 0 && rate <= 1e6, "--rate", rate, "0 to a million");
        require(zipf >= 0 && zipf <= 100, "--zipf", zipf, "0 to 100");
        require(promptTokens > 0, "--prompt-tokens", promptTokens, "1 or more");
        require(newTokens > 0, "--gen", newTokens, "1 or more");
    }

    private static void require(boolean holds, String option, Object value, String wanted) {
        if (!holds) {
            throw new IllegalArgumentException(option + " is " + value + "; it must be " + wanted);
        }
    }
}
