package dev.polyphon.runtime;

/**
 * A moment's state.
 *
 * @param running sequences in the batch
 * @param waiting sequences in the queue
 * @param kvBlocks blocks of the KV cache
 * @param kvBlocksUsed of them in use
 * @param adaptersLoaded adapters whose weights are in memory
 * @param adapterBytes what those weigh
 */
public record RuntimeStats(int running, int waiting, int kvBlocks, int kvBlocksUsed, int adaptersLoaded, long adapterBytes) {}
