package dev.polyphon.engine.backend.cuda;

import dev.polyphon.engine.backend.Owned;
import java.util.HashMap;
import java.util.Map;

/** Device memory that kernels of a step pass results by, by name, made larger when needed: steps of the same shape find it at the same place. */
final class Scratch implements AutoCloseable {
    private final Device device;
    private final Map<String, CudaTensor> tensors = new HashMap<>();
    private final Owned retired = new Owned();

    Scratch(Device device) {
        this.device = device;
    }

    /** The address of so many floats. What was given out before in this step stays. */
    long floats(String what, long floats) {
        CudaTensor old = tensors.get(what);
        if (old == null || old.columns() < floats) {
            long larger = Math.max(1 << 14, Long.highestOneBit(Math.max(1, floats - 1)) << 1);
            tensors.put(what, new CudaTensor(device, 1, Math.toIntExact(larger)));
            if (old != null) {
                retired.own(old);
            }
        }
        return tensors.get(what).address();
    }

    /** Gives back what was replaced; no kernel that uses it is left. */
    void tidy() {
        retired.close();
    }

    @Override
    public void close() {
        tidy();
        tensors.values().forEach(CudaTensor::close);
    }
}
