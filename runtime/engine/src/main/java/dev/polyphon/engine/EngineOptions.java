package dev.polyphon.engine;

import dev.polyphon.engine.pool.PoolOptions;
import dev.polyphon.engine.schedule.SchedulePolicy;
import java.nio.file.Path;
import java.util.Objects;

/**
 * How an engine is set up.
 *
 * @param name what requests call the base model
 * @param model a Hugging Face folder or a GGUF file
 * @param contextLength most tokens of a sequence; 0 for what the model was made for. The KV cache's size limits it as well
 * @param maxSequences most sequences in a step
 * @param stepTokens most rows of a step: decode rows and prompt chunks together
 * @param kvBytes bytes that the KV cache is sure of
 * @param sharedBytes bytes that the KV cache or adapters take beyond those that they are sure of, whoever needs them
 * @param blockSize positions of a KV block
 * @param queueLimit most sequences accepted and not yet finished, beyond which requests are refused
 * @param adapters where adapters come from, and what they may take
 * @param policy who is served when
 */
public record EngineOptions(
        String name,
        Path model,
        int contextLength,
        int maxSequences,
        int stepTokens,
        long kvBytes,
        long sharedBytes,
        int blockSize,
        int queueLimit,
        PoolOptions adapters,
        SchedulePolicy policy) {

    public static EngineOptions of(String name, Path model) {
        return new EngineOptions(name, model, 0, 64, 128, 1L << 30, 0, 32, 512, PoolOptions.of(1L << 30), SchedulePolicy.DEFAULT);
    }

    public EngineOptions {
        require(contextLength >= 0, "contextLength", contextLength, "0 or more");
        require(maxSequences > 0, "maxSequences", maxSequences, "1 or more");
        require(stepTokens >= maxSequences, "stepTokens", stepTokens, "at least maxSequences (" + maxSequences + ")");
        require(kvBytes > 0, "kvBytes", kvBytes, "1 or more");
        require(sharedBytes >= 0, "sharedBytes", sharedBytes, "0 or more");
        require(blockSize > 0, "blockSize", blockSize, "1 or more");
        require(queueLimit > 0, "queueLimit", queueLimit, "1 or more");
        Objects.requireNonNull(policy);
    }

    private static void require(boolean condition, String key, long found, String allowed) {
        if (!condition) {
            throw new IllegalArgumentException(key + " must be " + allowed + ", found " + found);
        }
    }

    public EngineOptions withSteps(int maxSequences, int stepTokens) {
        return new EngineOptions(name, model, contextLength, maxSequences, stepTokens, kvBytes, sharedBytes, blockSize, queueLimit, adapters, policy);
    }

    public EngineOptions withQueueLimit(int value) {
        return new EngineOptions(name, model, contextLength, maxSequences, stepTokens, kvBytes, sharedBytes, blockSize, value, adapters, policy);
    }

    public EngineOptions withKv(long kvBytes, int blockSize) {
        return new EngineOptions(name, model, contextLength, maxSequences, stepTokens, kvBytes, sharedBytes, blockSize, queueLimit, adapters, policy);
    }

    public EngineOptions withSharedBytes(long value) {
        return new EngineOptions(name, model, contextLength, maxSequences, stepTokens, kvBytes, value, blockSize, queueLimit, adapters, policy);
    }

    public EngineOptions withAdapters(PoolOptions value) {
        return new EngineOptions(name, model, contextLength, maxSequences, stepTokens, kvBytes, sharedBytes, blockSize, queueLimit, value, policy);
    }

    public EngineOptions withPolicy(SchedulePolicy value) {
        return new EngineOptions(name, model, contextLength, maxSequences, stepTokens, kvBytes, sharedBytes, blockSize, queueLimit, adapters, value);
    }
}
