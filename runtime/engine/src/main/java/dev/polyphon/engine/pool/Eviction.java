package dev.polyphon.engine.pool;

/** Which of the adapters that nobody uses gives way first where the model computes: the one worth least, of equals the one out of use for longest. */
public enum Eviction {
    /**
     * What is gained for a byte by keeping it (GreedyDual-Size-Frequency, Cherkasova 1998): uses times the cost of a load by its size, on top of what the
     * last that gave way was worth, so that what was popular once ages.
     */
    COST_AWARE {
        @Override
        double worth(int uses, long bytes, double inflation) {
            return inflation + uses * (bytes + FIXED_COST_BYTES) / Math.max(1, bytes);
        }
    },
    /** How often it was used since it came. */
    LFU {
        @Override
        double worth(int uses, long bytes, double inflation) {
            return uses;
        }
    },
    /** Nothing, so that only the time counts. */
    LRU {
        @Override
        double worth(int uses, long bytes, double inflation) {
            return 0;
        }
    };

    /** A load takes time for each byte and as much as for so many by itself. */
    private static final double FIXED_COST_BYTES = 1 << 20;

    /** @param inflation what the last that gave way was worth */
    abstract double worth(int uses, long bytes, double inflation);
}
