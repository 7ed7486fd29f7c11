package dev.polyphon.engine;

import java.io.IOException;

/**
 * How adapters and keys and values share the memory where the model computes. In the host's memory they have what the options say. A device has memory of its
 * own: what is left of it beside weights, steps and what the options promise is shared as well, so that none lies idle.
 *
 * @param adapterBytes what adapters are sure of
 * @param sharedBytes what adapters or the KV cache take beyond that
 */
record DeviceRoom(long adapterBytes, long sharedBytes) {
    /** Kept for what steps pass between kernels: a sixteenth, and no more than this. */
    private static final long STEPS = 1L << 30;

    /**
     * @param kvBytes what the KV cache is sure of
     * @param mergedBytes what merged copies may take
     * @param free bytes of the device's memory, all weights and the decoder's buffers in it; {@link Long#MAX_VALUE} for the host's
     * @throws IOException when the KV cache does not fit
     */
    static DeviceRoom of(EngineOptions options, long kvBytes, long mergedBytes, long free) throws IOException {
        if (free == Long.MAX_VALUE) {
            return new DeviceRoom(options.adapters().deviceBytes(), options.sharedBytes());
        }
        long steps = Math.min(STEPS, free / 16);
        long left = free - steps - kvBytes;
        if (left < 0) {
            throw new IOException("engine.kvBytes asks for " + kvBytes + " bytes of keys and values, and the device has " + free
                    + " left beside the model, of which steps need " + steps);
        }
        long adapters = Math.min(options.adapters().deviceBytes(), left);
        return new DeviceRoom(adapters, Math.max(0, left - adapters - mergedBytes));
    }
}
