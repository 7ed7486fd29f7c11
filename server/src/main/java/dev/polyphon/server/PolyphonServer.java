package dev.polyphon.server;

import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.admin.AdminApi;
import dev.polyphon.server.admin.OperationQueue;
import dev.polyphon.server.config.PolyphonConfig;
import dev.polyphon.server.console.Console;
import dev.polyphon.server.http.HttpServer;
import dev.polyphon.server.http.Router;
import dev.polyphon.server.kserve.KserveApi;
import dev.polyphon.server.kserve.Statistics;
import dev.polyphon.server.observe.Observation;
import dev.polyphon.server.observe.Observers;
import dev.polyphon.server.openai.ApiError;
import dev.polyphon.server.openai.OpenAiApi;
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
    private final OperationQueue operations;
    private final HttpServer http;
    private volatile boolean ready = true;

    /**
     * Starts to serve.
     *
     * @param runtime belongs to the server from now on, which closes it
     */
    public PolyphonServer(PolyphonConfig config, Runtime runtime) throws IOException {
        this.config = config;
        this.runtime = runtime;
        var observation = new Observation(config.observe(), runtime);
        var router = new Router((status, message) -> ApiError.transport(status, message).response());
        var statistics = new Statistics();
        var requests = new Observers(List.of(observation.requests(), statistics));
        OpenAiApi.addTo(router, runtime, config.limits(), config.adapters(), requests);
        KserveApi.addTo(router, runtime, config.limits(), config.adapters(), requests, statistics, () -> ready);
        operations = new OperationQueue(runtime, config.operations());
        AdminApi.addTo(router, runtime, config.adapters(), operations);
        Console.addTo(router, runtime);
        observation.addTo(router, () -> ready && !runtime.models().isEmpty());
        http = HttpServer.start(config.http(), router, (status, message) -> ApiError.transport(status, message).response(), observation.http());
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
    }
}
