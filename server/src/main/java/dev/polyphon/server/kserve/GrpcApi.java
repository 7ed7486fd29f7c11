package dev.polyphon.server.kserve;

import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.Message;
import com.google.protobuf.MessageLite;
import dev.polyphon.grpc.health.v1.HealthProto;
import dev.polyphon.grpc.reflection.v1.ReflectionProto;
import dev.polyphon.kserve.proto.CudaSharedMemoryStatusRequest;
import dev.polyphon.kserve.proto.CudaSharedMemoryStatusResponse;
import dev.polyphon.kserve.proto.CudaSharedMemoryUnregisterRequest;
import dev.polyphon.kserve.proto.CudaSharedMemoryUnregisterResponse;
import dev.polyphon.kserve.proto.GrpcService;
import dev.polyphon.kserve.proto.ModelConfigRequest;
import dev.polyphon.kserve.proto.ModelInferRequest;
import dev.polyphon.kserve.proto.ModelInferResponse;
import dev.polyphon.kserve.proto.ModelMetadataRequest;
import dev.polyphon.kserve.proto.ModelReadyRequest;
import dev.polyphon.kserve.proto.ModelReadyResponse;
import dev.polyphon.kserve.proto.ModelStatisticsRequest;
import dev.polyphon.kserve.proto.ModelStreamInferResponse;
import dev.polyphon.kserve.proto.RepositoryIndexRequest;
import dev.polyphon.kserve.proto.RepositoryModelLoadRequest;
import dev.polyphon.kserve.proto.RepositoryModelLoadResponse;
import dev.polyphon.kserve.proto.RepositoryModelUnloadRequest;
import dev.polyphon.kserve.proto.RepositoryModelUnloadResponse;
import dev.polyphon.kserve.proto.ServerLiveRequest;
import dev.polyphon.kserve.proto.ServerLiveResponse;
import dev.polyphon.kserve.proto.ServerMetadataRequest;
import dev.polyphon.kserve.proto.ServerReadyRequest;
import dev.polyphon.kserve.proto.ServerReadyResponse;
import dev.polyphon.kserve.proto.SystemSharedMemoryStatusRequest;
import dev.polyphon.kserve.proto.SystemSharedMemoryStatusResponse;
import dev.polyphon.kserve.proto.SystemSharedMemoryUnregisterRequest;
import dev.polyphon.kserve.proto.SystemSharedMemoryUnregisterResponse;
import dev.polyphon.server.grpc.GrpcCall;
import dev.polyphon.server.grpc.GrpcEndpoint;
import dev.polyphon.server.grpc.GrpcException;
import dev.polyphon.server.grpc.GrpcStatus;
import dev.polyphon.server.grpc.Health;
import dev.polyphon.server.grpc.Reflection;
import dev.polyphon.server.http.Router;
import dev.polyphon.server.openai.ApiError;
import dev.polyphon.server.openai.ApiException;
import dev.polyphon.server.tenant.Caller;
import dev.polyphon.server.tenant.Denied;
import java.io.IOException;
import java.util.List;
import java.util.Set;
import java.util.function.BiFunction;

/** The service {@code inference.GRPCInferenceService}. */
final class GrpcApi {
    private static final String SERVICE = "inference.GRPCInferenceService";

    private final Models models;
    private final Inferences inferences;
    private final Statistics statistics;
    private final Repository repository;
    private final int limit;

    /** @param limit bytes of a message */
    GrpcApi(Models models, Inferences inferences, Statistics statistics, Repository repository, int limit) {
        this.models = models;
        this.inferences = inferences;
        this.statistics = statistics;
        this.repository = repository;
        this.limit = limit;
    }

    void addTo(Router router) {
        var service = new GrpcEndpoint(SERVICE, limit);
        unary(service, "ServerLive", ServerLiveRequest.getDefaultInstance(), (_, _) -> ServerLiveResponse.newBuilder().setLive(true).build());
        unary(service, "ServerReady", ServerReadyRequest.getDefaultInstance(), (_, _) -> ServerReadyResponse.newBuilder().setReady(models.ready()).build());
        unary(service, "ModelReady", ModelReadyRequest.getDefaultInstance(), this::ready);
        unary(service, "ServerMetadata", ServerMetadataRequest.getDefaultInstance(), (_, _) -> models.server());
        unary(service, "ModelMetadata", ModelMetadataRequest.getDefaultInstance(), (asked, call) -> models.metadata(asked.getName(), asked.getVersion(), call.outlet()));
        unary(service, "ModelConfig", ModelConfigRequest.getDefaultInstance(), (asked, call) -> models.config(asked.getName(), asked.getVersion(), call.outlet()));
        unary(service, "ModelStatistics", ModelStatisticsRequest.getDefaultInstance(), this::statistics);
        unary(service, "RepositoryIndex", RepositoryIndexRequest.getDefaultInstance(), (asked, call) -> repository.index(caller(call), asked.getReady()));
        unary(service, "RepositoryModelLoad", RepositoryModelLoadRequest.getDefaultInstance(), (asked, call) -> {
            repository.load(caller(call), asked.getModelName(), asked.getParametersMap());
            return RepositoryModelLoadResponse.getDefaultInstance();
        });
        unary(service, "RepositoryModelUnload", RepositoryModelUnloadRequest.getDefaultInstance(), (asked, call) -> {
            repository.unload(caller(call), asked.getModelName());
            return RepositoryModelUnloadResponse.getDefaultInstance();
        });
        // There is no shared memory: none is listed, and to forget all of none is no mistake. Registering is not implemented.
        unary(service, "SystemSharedMemoryStatus", SystemSharedMemoryStatusRequest.getDefaultInstance(), (_, _) -> SystemSharedMemoryStatusResponse.getDefaultInstance());
        unary(service, "SystemSharedMemoryUnregister", SystemSharedMemoryUnregisterRequest.getDefaultInstance(),
                (_, _) -> SystemSharedMemoryUnregisterResponse.getDefaultInstance());
        unary(service, "CudaSharedMemoryStatus", CudaSharedMemoryStatusRequest.getDefaultInstance(), (_, _) -> CudaSharedMemoryStatusResponse.getDefaultInstance());
        unary(service, "CudaSharedMemoryUnregister", CudaSharedMemoryUnregisterRequest.getDefaultInstance(),
                (_, _) -> CudaSharedMemoryUnregisterResponse.getDefaultInstance());
        service.method("ModelInfer", this::infer).method("ModelStreamInfer", this::streamInfer);
        service.addTo(router);
        Health.endpoint(Set.of(SERVICE), models::ready, limit).addTo(router);
        List<FileDescriptor> files = List.of(GrpcService.getDescriptor(), HealthProto.getDescriptor(), ReflectionProto.getDescriptor());
        Reflection.endpoints(files, limit).forEach(endpoint -> endpoint.addTo(router));
    }

    /** Adds a method whose failures are told in gRPC's statuses. */
    private static <M extends Message> void unary(GrpcEndpoint service, String name, M request, BiFunction<M, GrpcCall, MessageLite> method) {
        service.unary(name, request, (asked, call) -> {
            try {
                return method.apply(asked, call);
            } catch (RuntimeException e) {
                ApiError error = Inferences.error(e, call.outlet().request());
                throw new GrpcException(GrpcStatus.ofHttp(error.status()), error.message(), error.retryAfter());
            }
        });
    }

    private static Caller caller(GrpcCall call) {
        return Caller.of(call.outlet().caller());
    }

    private static void fail(GrpcCall call, ApiError error) {
        call.finish(GrpcStatus.ofHttp(error.status()), error.message(), error.retryAfter());
    }

    private ModelReadyResponse ready(ModelReadyRequest asked, GrpcCall call) {
        boolean ready;
        try {
            ready = models.ready(asked.getName(), asked.getVersion(), call.outlet());
        } catch (ApiException e) {
            ready = false;
        }
        return ModelReadyResponse.newBuilder().setReady(ready).build();
    }

    private MessageLite statistics(ModelStatisticsRequest asked, GrpcCall call) {
        if (asked.getName().isEmpty()) {
            return statistics.all();
        }
        models.require(asked.getName(), asked.getVersion(), call.outlet());
        return statistics.of(asked.getName());
    }

    private void infer(GrpcCall call) throws IOException {
        ModelInferRequest request = call.only(ModelInferRequest.parser());
        call.execute(() -> {
            GrpcCall.Part part = call.part();
            start(call, part, request, new Sender() {
                @Override
                public void send(Result result) {
                    part.done();
                    call.send(result.message(false));
                    call.finish();
                }

                @Override
                public void failed(ApiError error) {
                    part.done();
                    fail(call, error);
                }
            }, "Several answers to one request need ModelStreamInfer: 'stream' must be false.");
        });
    }

    private void start(GrpcCall call, GrpcCall.Part part, ModelInferRequest request, Sender sender, String single) {
        var inference = inferences.call(part);
        if (request.getSerializedSize() <= Inferences.INLINE) {
            inferences.start(inference, part, () -> request, sender, single);
        } else {
            call.offload(() -> inferences.start(inference, part, () -> request, sender, single));
        }
    }

    /** Requests may come while others are answered; each is metered and ends by itself, with an error or not, and the call goes on. */
    private void streamInfer(GrpcCall call) throws IOException {
        var ended = new boolean[1];
        for (ModelInferRequest message; (message = call.next(ModelInferRequest.parser())) != null;) {
            ModelInferRequest request = message;
            call.execute(() -> {
                GrpcCall.Part part = call.part();
                var sender = new StreamSender(call, part, request.getId(), ended);
                try {
                    part.onEnd(Caller.of(part.caller()).enter());
                } catch (Denied denied) {
                    sender.failed(ApiError.of(denied));
                    return;
                }
                start(call, part, request, sender, null);
            });
        }
        call.execute(() -> {
            ended[0] = true;
            if (call.underWay() == 0) {
                call.finish();
            }
        });
    }

    /** @param ended whether no request follows, told in its only element */
    private record StreamSender(GrpcCall call, GrpcCall.Part part, String id, boolean[] ended) implements Sender {
        @Override
        public void send(Result result) {
            call.send(ModelStreamInferResponse.newBuilder().setInferResponse(result.message(true)).build());
            if (result.last()) {
                done();
            }
        }

        @Override
        public void failed(ApiError error) {
            call.send(ModelStreamInferResponse.newBuilder()
                    .setErrorMessage(error.message())
                    .setInferResponse(ModelInferResponse.newBuilder().setId(id))
                    .build());
            done();
        }

        private void done() {
            part.done();
            if (ended[0] && call.underWay() == 0) {
                call.finish();
            }
        }
    }
}
