package dev.polyphon.engine.backend.cuda;

/** A call of the driver or the compiler failed; the message names the call, what it was for and the library's own words. */
public final class CudaException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public CudaException(String message) {
        super(message);
    }
}
