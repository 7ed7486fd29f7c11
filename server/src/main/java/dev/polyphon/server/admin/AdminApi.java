package dev.polyphon.server.admin;

import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.http.Router;
import dev.polyphon.server.openai.AdapterSettings;
import dev.polyphon.server.openai.Admission;
import dev.polyphon.server.tenant.Tenancy;
import java.util.List;

/** The routes for operators. Names with slashes are sent as one segment ({@code org%2Fname}). */
public final class AdminApi {
    private static final String ALL = "/admin/v1/adapters";
    private static final String ONE = ALL + "/{name}";
    private static final String OPERATIONS = "/admin/v1/operations";
    private static final String MERGES = "/admin/v1/merges";
    private static final String DRAIN = "/admin/v1/drain";
    private static final String LOG_LEVEL = "/admin/v1/log-level";
    private static final String TENANTS = "/admin/v1/tenants";
    private static final String TENANT = TENANTS + "/{name}";
    private static final String KEY = "/admin/v1/keys/{id}";
    private static final String AUDIT = "/admin/v1/audit";
    private static final String USAGE = "/admin/v1/usage";
    private static final String OWN_USAGE = "/v1/usage";

    private AdminApi() {}

    public static void addTo(Router router, Runtime runtime, AdapterSettings settings, OperationQueue queue, Tenancy tenancy, Admission admission) {
        var adapters = new AdaptersAdmin(runtime, settings);
        router.get(ALL, adapters.looking(adapters::list))
                .post(ALL, adapters.changing(adapters::register))
                .get(ONE, adapters.looking(adapters::show))
                .get(ONE + "/versions", adapters.looking(adapters::versions))
                .on("PATCH", ONE, adapters.changing(adapters::change))
                .on("DELETE", ONE, adapters.changing(adapters::remove))
                .stream("PUT", ONE + "/files", adapters.changing(adapters::upload))
                .post(ONE + "/load", adapters.changing(adapters::load))
                .post(ONE + "/unload", adapters.changing(adapters::unload))
                .post(ONE + "/restore", adapters.changing(adapters::restore));
        var operations = new OperationsAdmin(runtime, queue);
        router.get(OPERATIONS, adapters.looking(operations::list))
                .post(OPERATIONS, adapters.changing(operations::start))
                .get(OPERATIONS + "/{id}", adapters.looking(operations::show))
                .post(OPERATIONS + "/{id}/cancel", adapters.changing(operations::cancel));
        var merges = new MergesAdmin(runtime);
        router.get(MERGES, adapters.looking(merges::status))
                .post(MERGES, adapters.changing(merges::merge))
                .on("PATCH", MERGES, adapters.changing(merges::mode))
                .get(MERGES + "/{id}", adapters.looking(merges::show))
                .on("DELETE", MERGES + "/{id}", adapters.changing(merges::unmerge));
        on(router, "GET", "/admin/v1/scheduler", new SchedulerAdmin(runtime)::state);
        var drain = new DrainAdmin(admission);
        on(router, "GET", DRAIN, drain::state);
        on(router, "POST", DRAIN, drain::begin);
        on(router, "DELETE", DRAIN, drain::end);
        on(router, "GET", LOG_LEVEL, LogLevelAdmin::levels);
        on(router, "PUT", LOG_LEVEL, LogLevelAdmin::change);
        tenancy.tenants().ifPresentOrElse(tenants -> addTo(router, new TenantsAdmin(tenants), new UsageReport(tenants, tenancy::flush)), () -> withoutTenants(router));
    }

    /** So that whoever asks learns what is missing. */
    private static void withoutTenants(Router router) {
        Operation refusal = _ -> {
            throw AdaptersAdmin.refused(404, null, "no_tenants", "This server has no tenants: the setting 'tenants.store' names the folder where they are kept.");
        };
        for (String pattern : List.of(TENANTS, TENANT, TENANT + "/keys", KEY, KEY + "/rotate", AUDIT, USAGE, OWN_USAGE)) {
            for (String method : List.of("GET", "POST", "PATCH", "DELETE")) {
                on(router, method, pattern, refusal);
            }
        }
    }

    private static void addTo(Router router, TenantsAdmin tenants, UsageReport usage) {
        on(router, "GET", TENANTS, tenants::list);
        on(router, "POST", TENANTS, tenants::create);
        on(router, "GET", TENANT, tenants::show);
        on(router, "PATCH", TENANT, tenants::change);
        on(router, "DELETE", TENANT, tenants::remove);
        on(router, "GET", TENANT + "/keys", tenants::keys);
        on(router, "POST", TENANT + "/keys", tenants::createKey);
        on(router, "GET", KEY, tenants::showKey);
        on(router, "POST", KEY + "/rotate", tenants::rotate);
        on(router, "DELETE", KEY, tenants::revoke);
        on(router, "GET", AUDIT, tenants::audit);
        router.get(USAGE, usage::all).get(OWN_USAGE, usage::own);
    }

    private static void on(Router router, String method, String pattern, Operation operation) {
        router.on(method, pattern, operation.handler());
    }
}
