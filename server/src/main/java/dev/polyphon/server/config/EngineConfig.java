package dev.polyphon.server.config;

/**
 * How the engine in this process is set up.
 *
 * @param device auto, cpu, cpu:vector, cuda or cuda:N, with :f32 or :bf16 behind the latter two; cuda:all, or several cuda:N with commas between them, for an engine on each
 * @param threads computing threads; 0 for one per processor
 * @param contextLength most tokens of a sequence; 0 for what the model was made for
 * @param maxSequences most sequences in a step
 * @param stepTokens most rows of a step, decode rows and prompt chunks together
 * @param kvBytes bytes that the KV cache is sure of
 * @param sharedBytes bytes that the KV cache or adapters take beyond those that they are sure of
 * @param blockSize positions of a KV block
 * @param queueLimit most sequences waiting and running, beyond which requests are refused
 * @param adapterBytes bytes that adapters are sure of where the model computes
 * @param adapters where they come from
 * @param scheduling who is served when
 * @param merging which of them are merged
 */
public record EngineConfig(
        String device, int threads, int contextLength, int maxSequences, int stepTokens, long kvBytes, long sharedBytes, int blockSize, int queueLimit, long adapterBytes,
        AdapterStorage adapters, SchedulingConfig scheduling, MergingConfig merging) {}
