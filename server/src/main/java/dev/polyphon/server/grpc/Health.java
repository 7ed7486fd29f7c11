package dev.polyphon.server.grpc;

import dev.polyphon.grpc.health.v1.HealthCheckRequest;
import dev.polyphon.grpc.health.v1.HealthCheckResponse;
import dev.polyphon.grpc.health.v1.HealthCheckResponse.ServingStatus;
import java.io.IOException;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** gRPC's <a href="https://github.com/grpc/grpc/blob/master/doc/health-checking.md">health checking</a>: of the server as a whole, and of its services. */
public final class Health {
    static final String SERVICE = "grpc.health.v1.Health";
    private static final Duration LOOK_EVERY = Duration.ofMillis(250);

    private final Set<String> services;
    private final BooleanSupplier ready;

    private Health(Set<String> services, BooleanSupplier ready) {
        this.services = services;
        this.ready = ready;
    }

    /** @param services names that may be asked for */
    public static GrpcEndpoint endpoint(Set<String> services, BooleanSupplier ready, int limit) {
        var health = new Health(services, ready);
        return new GrpcEndpoint(SERVICE, limit)
                .unary("Check", HealthCheckRequest.getDefaultInstance(), (request, _) -> health.check(request))
                .method("Watch", health::watch);
    }

    private HealthCheckResponse check(HealthCheckRequest request) {
        ServingStatus status = status(request.getService());
        if (status == ServingStatus.SERVICE_UNKNOWN) {
            throw new GrpcException(GrpcStatus.NOT_FOUND, "There is no service '" + request.getService() + "'.");
        }
        return HealthCheckResponse.newBuilder().setStatus(status).build();
    }

    private ServingStatus status(String service) {
        if (!service.isEmpty() && !services.contains(service)) {
            return ServingStatus.SERVICE_UNKNOWN;
        }
        return ready.getAsBoolean() ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
    }

    /** Tells the status, and tells it again when it has changed, until the client leaves. */
    private void watch(GrpcCall call) throws IOException {
        HealthCheckRequest request = call.only(HealthCheckRequest.parser());
        var left = new CountDownLatch(1);
        call.execute(() -> call.part().onAbort(left::countDown));
        ServingStatus told = null;
        try {
            do {
                ServingStatus now = status(request.getService());
                if (now != told) {
                    told = now;
                    call.execute(() -> call.send(HealthCheckResponse.newBuilder().setStatus(now).build()));
                }
            } while (!left.await(LOOK_EVERY.toMillis(), TimeUnit.MILLISECONDS));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
