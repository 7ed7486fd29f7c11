package dev.polyphon.server.tenant;

/** A change of tenants or keys cannot be made; the message is meant for the one who asked for it. */
public final class TenantFault extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final boolean unknown;

    private TenantFault(boolean unknown, String message) {
        super(message, null, false, false);
        this.unknown = unknown;
    }

    static TenantFault unknown(String message) {
        return new TenantFault(true, message);
    }

    static TenantFault conflict(String message) {
        return new TenantFault(false, message);
    }

    /** Whether there is no such thing; otherwise what there is does not allow the change. */
    public boolean isUnknown() {
        return unknown;
    }
}
