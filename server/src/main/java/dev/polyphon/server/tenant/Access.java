package dev.polyphon.server.tenant;

import dev.polyphon.server.http.Exchange;

/** What a route asks of whoever calls it. A route that is not named here asks for a tenant's key. */
enum Access {
    /** Anyone's: probes, and what holds nothing of anybody. */
    OPEN,
    /** A tenant's, and counted among its requests. */
    METERED,
    /** A tenant's that only looks. */
    TENANT,
    MONITOR,
    OPERATOR;

    static Access of(Exchange exchange) {
        String route = exchange.route();
        String path = exchange.request().path();
        return switch (route) {
            case "/health", "/health/live", "/health/ready", "/ping", "/version", "/openapi.json", "/v2/health/live", "/v2/health/ready", "/console", "/console/" -> OPEN;
            case "/grpc.health.v1.Health/*", "/grpc.reflection.v1.ServerReflection/*", "/grpc.reflection.v1alpha.ServerReflection/*" -> OPEN;
            case "/inference.GRPCInferenceService/*" -> ofCall(path.substring(path.lastIndexOf('/') + 1));
            case "/console/adapters", "/v2", "/v2/repository/index" -> TENANT;
            case "/metrics", "/v2/models/stats" -> MONITOR;
            case String models when models.equals("/v2/models/*") && path.endsWith("/stats") -> MONITOR;
            case String admin when admin.startsWith("/admin/") -> OPERATOR;
            case String console when console.startsWith("/console/") -> OPEN;
            default -> exchange.request().method().equals("POST") ? METERED : TENANT;
        };
    }

    private static Access ofCall(String method) {
        return switch (method) {
            case "ServerLive", "ServerReady" -> OPEN;
            case "ModelInfer", "RepositoryModelLoad", "RepositoryModelUnload" -> METERED;
            case "ModelStatistics" -> MONITOR;
            // The requests in a stream are counted one by one.
            default -> TENANT;
        };
    }

    Role role() {
        return switch (this) {
            case OPEN -> null;
            case METERED, TENANT -> Role.TENANT;
            case MONITOR -> Role.MONITOR;
            case OPERATOR -> Role.OPERATOR;
        };
    }
}
