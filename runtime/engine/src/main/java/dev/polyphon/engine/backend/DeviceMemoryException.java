package dev.polyphon.engine.backend;

/**
 * A device has no room for what was to be made. Nothing else is affected: whoever asked may close what it can spare and ask again.
 */
public final class DeviceMemoryException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final long wanted;
    private final long free;

    /**
     * @param what was to be made
     * @param wanted its bytes
     * @param free bytes free, perhaps not in one piece
     */
    public DeviceMemoryException(String what, long wanted, long free) {
        super("no device memory for " + what + ": " + wanted + " bytes wanted, " + free + " free");
        this.wanted = wanted;
        this.free = free;
    }

    public long wanted() {
        return wanted;
    }

    public long free() {
        return free;
    }
}
