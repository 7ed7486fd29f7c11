package dev.polyphon.server.kserve;

import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.grpc.GrpcEndpoint;
import dev.polyphon.server.grpc.GrpcStatus;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Response;
import dev.polyphon.server.http.Router;
import dev.polyphon.server.openai.AdapterSettings;
import dev.polyphon.server.openai.Admission;
import dev.polyphon.server.openai.ApiError;
import dev.polyphon.server.openai.ApiObserver;
import dev.polyphon.server.openai.RequestLimits;
import java.util.function.BooleanSupplier;

/** The routes of the Open Inference Protocol over a runtime. */
public final class KserveApi {
    private KserveApi() {}

    /** Whether a request came by one of this protocol's routes. */
    public static boolean speaks(Exchange exchange) {
        return exchange.route().startsWith("/v2") || GrpcEndpoint.isCall(exchange.request());
    }

    /** An error in this protocol's form. */
    public static Response error(Exchange exchange, ApiError error) {
        return GrpcEndpoint.isCall(exchange.request())
                ? GrpcEndpoint.refusal(GrpcStatus.ofHttp(error.status()), error.message(), error.retryAfter())
                : RestSender.error(error);
    }

    /**
     * Adds the routes.
     *
     * @param maxMessage bytes of a message of gRPC
     * @param statistics hears of all requests for tokens, among them those that come this way
     * @param ready whether requests should be sent here
     */
    public static void addTo(Router router, Runtime runtime, RequestLimits limits, AdapterSettings adapters, Admission admission, ApiObserver observer,
            Statistics statistics, BooleanSupplier ready, int maxMessage) {
        var models = new Models(runtime, ready);
        var inferences = new Inferences(runtime, limits, admission, observer);
        var repository = new Repository(runtime, adapters);
        new GrpcApi(models, inferences, statistics, repository, maxMessage).addTo(router);
        new RestApi(models, inferences, statistics, repository).addTo(router);
    }
}
