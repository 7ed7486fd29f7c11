package dev.polyphon.server.tenant;

import static dev.polyphon.server.Eventually.eventually;
import static dev.polyphon.server.GrpcClient.flag;
import static dev.polyphon.server.GrpcClient.request;
import static dev.polyphon.server.GrpcClient.text;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.polyphon.grpc.health.v1.HealthCheckRequest;
import dev.polyphon.grpc.health.v1.HealthCheckResponse;
import dev.polyphon.kserve.proto.ModelReadyRequest;
import dev.polyphon.kserve.proto.ModelReadyResponse;
import dev.polyphon.kserve.proto.ModelStatisticsRequest;
import dev.polyphon.kserve.proto.ModelStatisticsResponse;
import dev.polyphon.kserve.proto.RepositoryIndexRequest;
import dev.polyphon.kserve.proto.RepositoryIndexResponse;
import dev.polyphon.kserve.proto.RepositoryIndexResponse.ModelIndex;
import dev.polyphon.kserve.proto.ServerReadyRequest;
import dev.polyphon.kserve.proto.ServerReadyResponse;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.GrpcClient;
import dev.polyphon.server.LeakCheck;
import io.grpc.CallOptions;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** Tenants by gRPC: the same keys, limits and views as by HTTP, in gRPC's statuses. */
@ExtendWith(LeakCheck.class)
class GrpcTenantTest {
    @TempDir
    private Path store;

    private TenantServer server;

    @BeforeEach
    void start() {
        server = new TenantServer(store.resolve("store"));
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private GrpcClient client(String key) {
        return new GrpcClient(server.http.port(), "authorization", "Bearer " + key);
    }

    private static Status refused(Runnable call) {
        return catchThrowableOfType(StatusRuntimeException.class, call::run).getStatus();
    }

    @Test
    void asksForAKey() {
        try (var nobody = new GrpcClient(server.http.port()); var wrong = client("sk-no-such-key")) {
            assertThat(nobody.call("ServerReady", ServerReadyRequest.getDefaultInstance(), ServerReadyResponse.getDefaultInstance()).getReady()).isTrue();
            assertThat(nobody.call("grpc.health.v1.Health/Check", HealthCheckRequest.getDefaultInstance(), HealthCheckResponse.getDefaultInstance()).getStatus())
                    .isEqualTo(HealthCheckResponse.ServingStatus.SERVING);
            for (GrpcClient client : new GrpcClient[] {nobody, wrong}) {
                Status status = refused(() -> client.infer(request("french", "x")));
                assertThat(status.getCode()).isEqualTo(Status.Code.UNAUTHENTICATED);
                assertThat(status.getDescription()).contains("API key");
                var heard = new GrpcClient.Heard();
                client.stream(heard, CallOptions.DEFAULT).onNext(request("french", "x").build());
                eventually("refused", () -> heard.status != null);
                assertThat(heard.status.getCode()).isEqualTo(Status.Code.UNAUTHENTICATED);
            }
        }
    }

    @Test
    void showsATenantWhatIsItsOwn() {
        try (var client = client(server.tenant("acme", "\"adapters\": [\"fr*\"]"))) {
            var index = client.call("RepositoryIndex", RepositoryIndexRequest.getDefaultInstance(), RepositoryIndexResponse.getDefaultInstance());
            assertThat(index.getModelsList()).extracting(ModelIndex::getName).containsExactly(FakeRuntime.BASE, "french");
            assertThat(text(client.infer(request("french", "x", flag("exclude_input_in_output"))))).isEqualTo("french:x");
            assertThat(refused(() -> client.infer(request("german", "x"))).getCode()).isEqualTo(Status.Code.NOT_FOUND);
            assertThat(client.call("ModelReady", ModelReadyRequest.newBuilder().setName("german").build(), ModelReadyResponse.getDefaultInstance()).getReady()).isFalse();
            assertThat(refused(() -> client.call("ModelStatistics", ModelStatisticsRequest.getDefaultInstance(), ModelStatisticsResponse.getDefaultInstance())).getCode())
                    .isEqualTo(Status.Code.PERMISSION_DENIED);
        }
    }

    @Test
    void countsEachRequestOfAStream() {
        String key = server.tenant("acme", "\"limits\": {\"requests_per_minute\": 3, \"concurrent_requests\": 2}");
        server.http.runtime.manual = true;
        try (var client = client(key)) {
            var heard = new GrpcClient.Heard();
            var requests = client.stream(heard, CallOptions.DEFAULT);
            for (String id : new String[] {"one", "two", "three"}) {
                requests.onNext(request("french", id, flag("stream")).build());
            }
            var refused = heard.next();
            assertThat(refused.getInferResponse().getId()).isEqualTo("three");
            assertThat(refused.getErrorMessage()).contains("2 requests may be under way at once");
            requests.onError(Status.CANCELLED.asRuntimeException());
            Account account = server.tenants.find("acme").orElseThrow();
            eventually("those that were cut are no longer under way", () -> account.running() == 0);
            server.http.runtime.manual = false;
            assertThat(text(client.infer(request("french", "x")))).isNotEmpty();
            Status limited = refused(() -> client.infer(request("french", "x")));
            assertThat(limited.getCode()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
            assertThat(limited.getDescription()).contains("requests per min");
            assertThat(account.running()).isZero();
        }
    }
}
