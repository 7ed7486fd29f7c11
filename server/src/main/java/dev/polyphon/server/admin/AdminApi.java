package dev.polyphon.server.admin;

import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.http.Router;
import dev.polyphon.server.openai.AdapterSettings;

/** The routes for operators. Names with slashes are sent as one segment ({@code org%2Fname}). */
public final class AdminApi {
    private static final String ALL = "/admin/v1/adapters";
    private static final String ONE = ALL + "/{name}";
    private static final String OPERATIONS = "/admin/v1/operations";

    private AdminApi() {}

    public static void addTo(Router router, Runtime runtime, AdapterSettings settings, OperationQueue queue) {
        var adapters = new AdaptersAdmin(runtime, settings);
        router.get(ALL, adapters.looking(adapters::list))
                .post(ALL, adapters.changing(adapters::register))
                .get(ONE, adapters.looking(adapters::show))
                .get(ONE + "/versions", adapters.looking(adapters::versions))
                .on("PATCH", ONE, adapters.changing(adapters::change))
                .on("DELETE", ONE, adapters.changing(adapters::remove))
                .post(ONE + "/load", adapters.changing(adapters::load))
                .post(ONE + "/unload", adapters.changing(adapters::unload))
                .post(ONE + "/restore", adapters.changing(adapters::restore));
        var operations = new OperationsAdmin(runtime, queue);
        router.get(OPERATIONS, adapters.looking(operations::list))
                .post(OPERATIONS, adapters.changing(operations::start))
                .get(OPERATIONS + "/{id}", adapters.looking(operations::show))
                .post(OPERATIONS + "/{id}/cancel", adapters.changing(operations::cancel));
    }
}
