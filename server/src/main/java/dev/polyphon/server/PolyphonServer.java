package dev.polyphon.server;

import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.admin.AdminApi;
import dev.polyphon.server.admin.OperationQueue;
import dev.polyphon.server.config.PolyphonConfig;
import dev.polyphon.server.console.Console;
import dev.polyphon.server.http.Cors;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.HttpServer;
import dev.polyphon.server.http.Response;
import dev.polyphon.server.http.Router;
import dev.polyphon.server.kserve.KserveApi;
import dev.polyphon.server.kserve.Statistics;
import dev.polyphon.server.observe.Observation;
import dev.polyphon.server.observe.Observers;
import dev.polyphon.server.openai.Admission;
import dev.polyphon.server.openai.ApiError;
import dev.polyphon.server.openai.OpenAiApi;
import dev.polyphon.server.openapi.OpenApi;
import dev.polyphon.server.tenant.Denied;
import dev.polyphon.server.tenant.Tenancy;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The front end over a runtime: routes, metrics and the life of both. */
public final class PolyphonServer implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(PolyphonServer.class);

    private final PolyphonConfig config;
    private final Runtime runtime;
    private final Tenancy tenancy;
    private final OperationQueue operations;
    private final Admission admission = new Admission();
    private final Router router;
    private final Observation observation;
    private final HttpServer http;
    private volatile boolean ready = true;

    /**
     * Starts to serve.
     *
     * @param computing belongs to the server from now on, which closes it; when this throws, it does not
     */
    public PolyphonServer(PolyphonConfig config, Runtime computing) throws IOException {
        this.config = config;
        tenancy = Tenancy.open(config.tenancy());
        try {
            runtime = tenancy.govern(computing);
            operations = new OperationQueue(runtime, config.operations());
            router = new Router((status, message) -> ApiError.transport(status, message).response(), tenancy.gate(PolyphonServer::denied));
            observation = new Observation(config.observe(), runtime);
            http = start();
        } catch (IOException | RuntimeException e) {
            tenancy.close();
            throw e;
        }
        if (tenancy.tenants().isEmpty() && !address().getAddress().isLoopbackAddress()) {
            LOG.warn("anyone who reaches {}:{} may use this server and change its adapters: it has no tenants (setting 'tenants.store')",
                    address().getHostString(), address().getPort());
        }
    }

    private HttpServer start() throws IOException {
        observation.usage(tenancy::behind);
        var statistics = new Statistics();
        var requests = new Observers(List.of(observation.requests(), statistics));
        OpenAiApi.addTo(router, runtime, config.limits(), config.embeddings(), config.adapters(), admission, requests);
        KserveApi.addTo(router, runtime, config.limits(), config.adapters(), admission, requests, statistics, this::takesRequests, config.http().maxBody());
        AdminApi.addTo(router, runtime, config.adapters(), operations, tenancy, admission);
        Console.addTo(router, runtime);
        OpenApi.addTo(router);
        observation.addTo(router, () -> takesRequests() && !runtime.models().isEmpty());
        return HttpServer.start(config.http(), Cors.before(router, config.cors()), (status, message) -> ApiError.transport(status, message).response(), observation.http());
    }

    private boolean takesRequests() {
        return ready && admission.isOpen();
    }

    /** In the words of the protocol that was spoken. */
    private static Response denied(Exchange exchange, Denied denied) {
        ApiError error = ApiError.of(denied);
        return KserveApi.speaks(exchange) ? KserveApi.error(exchange, error) : error.response();
    }

    /** Every route as {@code METHOD pattern}. */
    public List<String> routes() {
        return router.routes();
    }

    /** Who may use the server. */
    public Tenancy tenancy() {
        return tenancy;
    }

    public InetSocketAddress address() {
        return http.address();
    }

    /**
     * Ends in order: no longer ready, then no longer accepting; what is under way is finished as far as the limit lets it.
     *
     * @return whether all of it finished
     */
    public boolean drain() throws InterruptedException {
        ready = false;
        Thread.sleep(config.drainDelay());
        long end = System.nanoTime() + config.drainLimit().toNanos();
        LOG.info("draining: {} sequences running, {} waiting", runtime.stats().running(), runtime.stats().waiting());
        http.stopAccepting();
        boolean closed = http.awaitClosed(config.drainLimit());
        runtime.drain(Duration.ofNanos(Math.max(0, end - System.nanoTime())));
        return closed;
    }

    @Override
    public void close() {
        ready = false;
        http.close();
        operations.close();
        runtime.close();
        observation.close();
        tenancy.close();
    }
}
