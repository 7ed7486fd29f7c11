package dev.polyphon.engine;

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
 * @param kvBytes size of the KV cache
 * @param blockSize positions of a KV block
 * @param queueLimit most sequences accepted and not yet finished, beyond which requests are refused
 * @param adapterBytes bytes up to which unused adapters stay in memory
 * @param adapterStore folder that keeps what is registered; null to forget it at the end
 * @param policy who is served when
 */
public record EngineOptions(
        String name,
        Path model,
        int contextLength,
        int maxSequences,
        int stepTokens,
        long kvBytes,
        int blockSize,
        int queueLimit,
        long adapterBytes,
        Path adapterStore,
        SchedulePolicy policy) {

    public static EngineOptions of(String name, Path model) {
        return new EngineOptions(name, model, 0, 64, 128, 1L << 30, 32, 512, 1L << 30, null, SchedulePolicy.DEFAULT);
    }

    public EngineOptions {
        require(contextLength >= 0, "contextLength", contextLength, "0 or more");
        require(maxSequences > 0, "maxSequences", maxSequences, "1 or more");
        require(stepTokens >= maxSequences, "stepTokens", stepTokens, "at least maxSequences (" + maxSequences + ")");
        require(kvBytes > 0, "kvBytes", kvBytes, "1 or more");
        require(blockSize > 0, "blockSize", blockSize, "1 or more");
        require(queueLimit > 0, "queueLimit", queueLimit, "1 or more");
        Objects.requireNonNull(policy);
        require(adapterBytes >= 0, "adapterBytes", adapterBytes, "0 or more");
    }

    private static void require(boolean condition, String key, long found, String allowed) {
        if (!condition) {
            throw new IllegalArgumentException(key + " must be " + allowed + ", found " + found);
        }
    }

    public EngineOptions withSteps(int maxSequences, int stepTokens) {
        return new EngineOptions(name, model, contextLength, maxSequences, stepTokens, kvBytes, blockSize, queueLimit, adapterBytes, adapterStore, policy);
    }

    public EngineOptions withQueueLimit(int value) {
        return new EngineOptions(name, model, contextLength, maxSequences, stepTokens, kvBytes, blockSize, value, adapterBytes, adapterStore, policy);
    }

    public EngineOptions withAdapterBytes(long value) {
        return new EngineOptions(name, model, contextLength, maxSequences, stepTokens, kvBytes, blockSize, queueLimit, value, adapterStore, policy);
    }

    public EngineOptions withKv(long kvBytes, int blockSize) {
        return new EngineOptions(name, model, contextLength, maxSequences, stepTokens, kvBytes, blockSize, queueLimit, adapterBytes, adapterStore, policy);
    }

    public EngineOptions withAdapterStore(Path value) {
        return new EngineOptions(name, model, contextLength, maxSequences, stepTokens, kvBytes, blockSize, queueLimit, adapterBytes, value, policy);
    }

    public EngineOptions withPolicy(SchedulePolicy value) {
        return new EngineOptions(name, model, contextLength, maxSequences, stepTokens, kvBytes, blockSize, queueLimit, adapterBytes, adapterStore, value);
    }
}
