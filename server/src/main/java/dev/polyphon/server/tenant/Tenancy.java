package dev.polyphon.server.tenant;

import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Filter;
import dev.polyphon.server.http.Response;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.Optional;
import java.util.function.BiFunction;

/** The tenants of one server, and what stands between them and it; without a store it is open to anyone. */
public final class Tenancy implements AutoCloseable {
    private final TenancySettings settings;
    private final Store store;
    private final Tenants tenants;
    private final UsageMeter meter;

    private Tenancy(TenancySettings settings, Store store, Tenants tenants) {
        this.settings = settings;
        this.store = store;
        this.tenants = tenants;
        this.meter = tenants == null ? null : new UsageMeter(tenants::add);
    }

    public static Tenancy open(TenancySettings settings) throws IOException {
        if (settings.store() == null) {
            return new Tenancy(settings, null, null);
        }
        Store store = Store.open(settings.store());
        try {
            var tenancy = new Tenancy(settings, store, new Tenants(store));
            tenancy.meter.start();
            return tenancy;
        } catch (IOException | RuntimeException e) {
            store.close();
            throw e;
        }
    }

    /** The tenants; empty on a server that is open to anyone. */
    public Optional<Tenants> tenants() {
        return Optional.ofNullable(tenants);
    }

    /** A runtime held to the tenants' limits; the one given where there are none. */
    public Runtime govern(Runtime runtime) {
        return tenants == null ? runtime : new GovernedRuntime(runtime, tenants, meter);
    }

    /** @param errors says no in the words of a route's protocol */
    public Filter gate(BiFunction<Exchange, Denied, Response> errors) {
        return tenants == null ? Filter.NONE : new Gate(tenants, settings.jwt().enabled() ? new JwtVerifier(settings.jwt(), tenants) : null, settings.openMetrics(), errors, meter::audit);
    }

    /** How long usage and the audit log could not be written; zero when they can, or there are none. */
    public Duration behind() {
        return meter == null ? Duration.ZERO : meter.behind();
    }

    /** Writes what was used until now. */
    public void flush() {
        if (meter != null) {
            meter.write();
        }
    }

    @Override
    public void close() {
        if (meter == null) {
            return;
        }
        meter.close();
        try {
            store.close();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
