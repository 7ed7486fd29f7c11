package dev.polyphon.server.kserve;

import static dev.polyphon.server.Eventually.eventually;
import static dev.polyphon.server.GrpcClient.flag;
import static dev.polyphon.server.GrpcClient.method;
import static dev.polyphon.server.GrpcClient.request;
import static dev.polyphon.server.GrpcClient.tensor;
import static dev.polyphon.server.GrpcClient.text;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.google.protobuf.ByteString;
import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import com.google.protobuf.InvalidProtocolBufferException;
import dev.polyphon.grpc.health.v1.HealthCheckRequest;
import dev.polyphon.grpc.health.v1.HealthCheckResponse;
import dev.polyphon.grpc.reflection.v1.ServerReflectionRequest;
import dev.polyphon.grpc.reflection.v1.ServerReflectionResponse;
import dev.polyphon.kserve.proto.InferParameter;
import dev.polyphon.kserve.proto.ModelConfigRequest;
import dev.polyphon.kserve.proto.ModelConfigResponse;
import dev.polyphon.kserve.proto.ModelInferRequest;
import dev.polyphon.kserve.proto.ModelInferResponse;
import dev.polyphon.kserve.proto.ModelReadyRequest;
import dev.polyphon.kserve.proto.ModelReadyResponse;
import dev.polyphon.kserve.proto.ModelStatisticsRequest;
import dev.polyphon.kserve.proto.ModelStatisticsResponse;
import dev.polyphon.kserve.proto.RepositoryIndexRequest;
import dev.polyphon.kserve.proto.RepositoryIndexResponse;
import dev.polyphon.kserve.proto.RepositoryModelUnloadRequest;
import dev.polyphon.kserve.proto.RepositoryModelUnloadResponse;
import dev.polyphon.kserve.proto.ServerLiveRequest;
import dev.polyphon.kserve.proto.ServerLiveResponse;
import dev.polyphon.kserve.proto.ServerMetadataRequest;
import dev.polyphon.kserve.proto.ServerMetadataResponse;
import dev.polyphon.kserve.proto.TraceSettingRequest;
import dev.polyphon.kserve.proto.TraceSettingResponse;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.GrpcClient;
import dev.polyphon.server.GrpcClient.Heard;
import dev.polyphon.server.LeakCheck;
import dev.polyphon.server.TestServer;
import io.grpc.CallOptions;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Random;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(LeakCheck.class)
class GrpcTest {
    private final TestServer server = new TestServer("server.maxBody=64KiB");
    private final GrpcClient client = new GrpcClient(server.port());

    @AfterEach
    void stop() {
        client.close();
        server.close();
    }

    private Status refused(ModelInferRequest.Builder request) {
        return catchThrowableOfType(StatusRuntimeException.class, () -> client.infer(request)).getStatus();
    }

    @Test
    void tellsOfTheServerAndItsModels() {
        assertThat(client.call("ServerLive", ServerLiveRequest.getDefaultInstance(), ServerLiveResponse.getDefaultInstance()).getLive()).isTrue();
        assertThat(client.call("ServerMetadata", ServerMetadataRequest.getDefaultInstance(), ServerMetadataResponse.getDefaultInstance()).getName()).isEqualTo("polyphon");
        assertThat(ready("french")).isTrue();
        assertThat(ready("welsh")).isFalse();
        var config = client.call("ModelConfig", ModelConfigRequest.newBuilder().setName(FakeRuntime.BASE).build(), ModelConfigResponse.getDefaultInstance()).getConfig();
        assertThat(config.getModelTransactionPolicy().getDecoupled()).isTrue();
        assertThat(config.getInputList()).hasSize(9);
        assertThatThrownBy(() -> client.call("ModelConfig", ModelConfigRequest.newBuilder().setName("welsh").build(), ModelConfigResponse.getDefaultInstance()))
                .hasMessageStartingWith("NOT_FOUND").hasMessageContaining("welsh");
    }

    private boolean ready(String model) {
        return client.call("ModelReady", ModelReadyRequest.newBuilder().setName(model).build(), ModelReadyResponse.getDefaultInstance()).getReady();
    }

    @Test
    void infers() {
        var answer = client.infer(request("french", "größer", flag("exclude_input_in_output")));
        assertThat(text(answer)).isEqualTo("french:größer");
        assertThat(answer.getId()).isEqualTo("größer");
        assertThat(answer.getModelName()).isEqualTo("french");
        var raw = ModelInferRequest.newBuilder().setModelName(FakeRuntime.BASE)
                .addInputs(tensor("text_input", "BYTES")).addRawInputContents(ByteString.copyFrom(new byte[] {2, 0, 0, 0, 'h', 'i'}))
                .putParameters("lora_name", InferParameter.newBuilder().setStringParam("german").build())
                .putParameters("max_tokens", InferParameter.newBuilder().setInt64Param(5).build())
                .putParameters("exclude_input_in_output", InferParameter.newBuilder().setBoolParam(true).build());
        assertThat(text(client.infer(raw))).isEqualTo("german:hi");
        var counts = client.call("ModelStatistics", ModelStatisticsRequest.newBuilder().setName("german").build(), ModelStatisticsResponse.getDefaultInstance());
        assertThat(counts.getModelStats(0).getInferenceCount()).isEqualTo(1);
    }

    @Test
    void refusesWhatIsWrong() {
        assertThat(refused(request("welsh", "x")).getCode()).isEqualTo(Status.Code.NOT_FOUND);
        var wrong = refused(request("french", "x", text("image", "y")));
        assertThat(wrong.getCode()).isEqualTo(Status.Code.INVALID_ARGUMENT);
        assertThat(wrong.getDescription()).contains("Unexpected inference input 'image'");
        assertThat(refused(request("french", "x", flag("stream"))).getDescription()).contains("ModelStreamInfer");
        assertThat(refused(request("french", "x".repeat(70_000))).getCode()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
        assertThatThrownBy(() -> client.call("TraceSetting", TraceSettingRequest.getDefaultInstance(), TraceSettingResponse.getDefaultInstance()))
                .hasMessageStartingWith("UNIMPLEMENTED");
        server.runtime.fault = RuntimeFault.overloaded("the queue is full: 100 %", Duration.ofSeconds(1));
        var full = refused(request("french", "x"));
        assertThat(full.getCode()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
        assertThat(full.getDescription()).isEqualTo("the queue is full: 100 %");
    }

    @Test
    void streams() {
        var heard = new Heard();
        var requests = client.stream(heard, CallOptions.DEFAULT);
        requests.onNext(request("french", "one two", flag("stream"), flag("return_finish_reason")).build());
        var text = new StringBuilder();
        ModelInferResponse last;
        do {
            last = heard.next().getInferResponse();
            assertThat(last.getId()).isEqualTo("one two");
            text.append(text(last));
        } while (!last.getParametersOrThrow(Result.LAST).getBoolParam());
        assertThat(text).hasToString("french:one two");
        assertThat(last.getRawOutputContents(1).substring(4).toStringUtf8()).isEqualTo("stop");
        requests.onNext(request("welsh", "no").build());
        var error = heard.next();
        assertThat(error.getErrorMessage()).contains("welsh");
        assertThat(error.getInferResponse().getId()).isEqualTo("no");
        requests.onNext(request("german", "still").build());
        assertThat(text(heard.next().getInferResponse())).as("one answer where no stream was asked for").isEqualTo("stillgerman:still");
        requests.onCompleted();
        eventually("the call ended well", () -> heard.status == Status.OK);
    }

    private FakeRuntime.Held held() throws InterruptedException {
        var held = server.runtime.held.poll(10, TimeUnit.SECONDS);
        assertThat(held).as("a request that reached the runtime").isNotNull();
        return held;
    }

    @Test
    void answersSeveralRequestsOfAStreamAtOnce() throws InterruptedException {
        server.runtime.manual = true;
        var heard = new Heard();
        var requests = client.stream(heard, CallOptions.DEFAULT);
        requests.onNext(request("french", "first", flag("stream")).build());
        requests.onNext(request("french", "second", flag("stream")).build());
        requests.onCompleted();
        var first = held();
        var second = held();
        second.sink().started(1, 0);
        first.sink().started(1, 0);
        second.token(0, 1, "b");
        assertThat(heard.next().getInferResponse().getId()).isEqualTo("second");
        first.token(0, 1, "a");
        assertThat(heard.next().getInferResponse().getId()).isEqualTo("first");
        first.sink().finished(0, "", FinishReason.STOP, 1);
        assertThat(heard.next().getInferResponse().getId()).isEqualTo("first");
        second.sink().failed(RuntimeFault.of(RuntimeFault.Kind.INTERNAL, "broken"));
        assertThat(heard.next().getErrorMessage()).isEqualTo("broken");
        eventually("the call ended well", () -> heard.status == Status.OK);
    }

    @Test
    void endsWhatNobodyWaitsFor() throws InterruptedException {
        server.runtime.manual = true;
        var heard = new Heard();
        var requests = client.stream(heard, CallOptions.DEFAULT.withDeadlineAfter(2, TimeUnit.SECONDS));
        requests.onNext(request("french", "late", flag("stream")).build());
        var late = held();
        eventually("cancelled", () -> late.isCancelled() && heard.status != null);
        assertThat(heard.status.getCode()).isEqualTo(Status.Code.DEADLINE_EXCEEDED);
        var left = new Heard();
        client.stream(left, CallOptions.DEFAULT).onNext(request("french", "left", flag("stream")).build());
        var abandoned = held();
        client.channel.shutdownNow();
        eventually("cancelled", abandoned::isCancelled);
    }

    @Test
    void managesAdapters() {
        var unload = RepositoryModelUnloadRequest.newBuilder().setModelName("french").build();
        client.call("RepositoryModelUnload", unload, RepositoryModelUnloadResponse.getDefaultInstance());
        assertThat(ready("french")).isFalse();
        var index = client.call("RepositoryIndex", RepositoryIndexRequest.getDefaultInstance(), RepositoryIndexResponse.getDefaultInstance());
        assertThat(index.getModelsList()).anyMatch(model -> model.getName().equals("french") && model.getState().equals("UNAVAILABLE"));
        assertThatThrownBy(() -> client.call("RepositoryModelUnload", unload, RepositoryModelUnloadResponse.getDefaultInstance())).hasMessageStartingWith("NOT_FOUND");
    }

    @Test
    void tellsItsHealth() throws InterruptedException {
        String check = "grpc.health.v1.Health/Check";
        var serving = HealthCheckResponse.getDefaultInstance();
        assertThat(client.call(check, HealthCheckRequest.getDefaultInstance(), serving).getStatus()).isEqualTo(HealthCheckResponse.ServingStatus.SERVING);
        assertThat(client.call(check, HealthCheckRequest.newBuilder().setService("inference.GRPCInferenceService").build(), serving).getStatus())
                .isEqualTo(HealthCheckResponse.ServingStatus.SERVING);
        assertThatThrownBy(() -> client.call(check, HealthCheckRequest.newBuilder().setService("x").build(), serving)).hasMessageStartingWith("NOT_FOUND");
        var watch = method("grpc.health.v1.Health/Watch", MethodDescriptor.MethodType.SERVER_STREAMING, HealthCheckRequest.getDefaultInstance(), serving);
        Iterator<HealthCheckResponse> states =
                ClientCalls.blockingServerStreamingCall(client.channel, watch, CallOptions.DEFAULT.withDeadlineAfter(20, TimeUnit.SECONDS), HealthCheckRequest.getDefaultInstance());
        assertThat(states.next().getStatus()).isEqualTo(HealthCheckResponse.ServingStatus.SERVING);
        var drained = Thread.ofVirtual().start(() -> {
            try {
                server.server.drain();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        assertThat(states.next().getStatus()).isEqualTo(HealthCheckResponse.ServingStatus.NOT_SERVING);
        client.channel.shutdownNow();
        drained.join();
    }

    @Test
    void reflects() throws InvalidProtocolBufferException {
        for (String version : List.of("v1", "v1alpha")) {
            var answers = reflect(version, ServerReflectionRequest.newBuilder().setListServices("").build(),
                    ServerReflectionRequest.newBuilder().setFileContainingSymbol("inference.GRPCInferenceService").build(),
                    ServerReflectionRequest.newBuilder().setFileByFilename("none.proto").build());
            assertThat(answers.get(0).getListServicesResponse().getServiceList()).extracting("name")
                    .contains("inference.GRPCInferenceService", "grpc.health.v1.Health");
            var files = new ArrayList<String>();
            for (ByteString file : answers.get(1).getFileDescriptorResponse().getFileDescriptorProtoList()) {
                files.add(FileDescriptorProto.parseFrom(file).getName());
            }
            assertThat(files).contains("grpc_service.proto", "model_config.proto");
            assertThat(answers.get(2).getErrorResponse().getErrorCode()).isEqualTo(5);
        }
    }

    private List<ServerReflectionResponse> reflect(String version, ServerReflectionRequest... requests) {
        var method = method("grpc.reflection." + version + ".ServerReflection/ServerReflectionInfo", MethodDescriptor.MethodType.BIDI_STREAMING,
                ServerReflectionRequest.getDefaultInstance(), ServerReflectionResponse.getDefaultInstance());
        var answers = new LinkedBlockingQueue<ServerReflectionResponse>();
        var out = ClientCalls.asyncBidiStreamingCall(client.channel.newCall(method, CallOptions.DEFAULT), new StreamObserver<ServerReflectionResponse>() {
            @Override
            public void onNext(ServerReflectionResponse answer) {
                answers.add(answer);
            }

            @Override
            public void onError(Throwable failure) {}

            @Override
            public void onCompleted() {}
        });
        for (var request : requests) {
            out.onNext(request);
        }
        out.onCompleted();
        eventually("answered", () -> answers.size() == requests.length);
        return List.copyOf(answers);
    }

    /** Whatever bytes come as a message are answered with a status that is not the server's fault, and the server goes on. */
    @Test
    void survivesWrongBytes() {
        byte[] whole = request("french", "one two", text("sampling_parameters", "{\"n\": 1}")).build().toByteArray();
        var random = new Random(5);
        var bytes = new MethodDescriptor.Marshaller<byte[]>() {
            @Override
            public java.io.InputStream stream(byte[] value) {
                return new java.io.ByteArrayInputStream(value);
            }

            @Override
            public byte[] parse(java.io.InputStream stream) {
                return new byte[0];
            }
        };
        var method = MethodDescriptor.newBuilder(bytes, bytes).setType(MethodDescriptor.MethodType.UNARY).setFullMethodName(GrpcClient.SERVICE + "ModelInfer").build();
        for (int i = 0; i < 300; i++) {
            byte[] damaged = whole.clone();
            for (int j = random.nextInt(4); j >= 0; j--) {
                damaged[random.nextInt(damaged.length)] = (byte) random.nextInt(256);
            }
            try {
                ClientCalls.blockingUnaryCall(client.channel, method, CallOptions.DEFAULT.withDeadlineAfter(20, TimeUnit.SECONDS), damaged);
            } catch (StatusRuntimeException e) {
                assertThat(e.getStatus().getDescription()).doesNotContain("failed to handle");
                assertThat(e.getStatus().getCode()).isIn(Status.Code.INVALID_ARGUMENT, Status.Code.NOT_FOUND, Status.Code.INTERNAL);
            }
        }
        assertThat(text(client.infer(request("french", "x")))).isEqualTo("xfrench:x");
    }
}
