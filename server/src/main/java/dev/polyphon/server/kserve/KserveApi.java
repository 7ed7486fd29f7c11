package dev.polyphon.server.kserve;

import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.http.Response;
import dev.polyphon.server.http.Router;
import dev.polyphon.server.openai.AdapterSettings;
import dev.polyphon.server.openai.ApiError;
import dev.polyphon.server.openai.ApiObserver;
import dev.polyphon.server.openai.RequestLimits;
import java.util.function.BooleanSupplier;

/** The routes of the Open Inference Protocol over a runtime. */
public final class KserveApi {
    private KserveApi() {}

    /** An error in this protocol's form. */
    public static Response error(ApiError error) {
        return RestSender.error(error);
    }

    /**
     * Adds the routes.
     *
     * @param statistics hears of all requests for tokens, among them those that come this way
     * @param ready whether requests should be sent here
     */
    public static void addTo(Router router, Runtime runtime, RequestLimits limits, AdapterSettings adapters, ApiObserver observer, Statistics statistics,
            BooleanSupplier ready) {
        var models = new Models(runtime, ready);
        var inferences = new Inferences(runtime, limits, observer);
        var repository = new Repository(runtime, adapters);
        new RestApi(models, inferences, statistics, repository).addTo(router);
    }
}
