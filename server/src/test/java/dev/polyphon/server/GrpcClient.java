package dev.polyphon.server;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import dev.polyphon.kserve.proto.InferTensorContents;
import dev.polyphon.kserve.proto.ModelInferRequest;
import dev.polyphon.kserve.proto.ModelInferRequest.InferInputTensor;
import dev.polyphon.kserve.proto.ModelInferResponse;
import dev.polyphon.kserve.proto.ModelStreamInferResponse;
import io.grpc.CallOptions;
import io.grpc.ClientInterceptor;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** An unmodified gRPC client, which speaks HTTP/2 from the first byte on, and messages made from the published protocol. */
public final class GrpcClient implements AutoCloseable {
    public static final String SERVICE = "inference.GRPCInferenceService/";

    public final ManagedChannel channel;

    /** @param headers names and values, sent with every call */
    public GrpcClient(int port, String... headers) {
        this(NettyChannelBuilder.forAddress("127.0.0.1", port).usePlaintext().intercept(attaching(headers)).build());
    }

    public GrpcClient(ManagedChannel channel) {
        this.channel = channel;
    }

    private static ClientInterceptor attaching(String... headers) {
        var metadata = new Metadata();
        for (int i = 0; i < headers.length; i += 2) {
            metadata.put(Metadata.Key.of(headers[i], Metadata.ASCII_STRING_MARSHALLER), headers[i + 1]);
        }
        return MetadataUtils.newAttachHeadersInterceptor(metadata);
    }

    /** @param name of a method of {@link #SERVICE}, or with the name of its service and a slash before it */
    public static <Q extends Message, A extends Message> MethodDescriptor<Q, A> method(String name, MethodDescriptor.MethodType type, Q request, A answer) {
        return MethodDescriptor.<Q, A>newBuilder()
                .setType(type)
                .setFullMethodName(name.contains("/") ? name : SERVICE + name)
                .setRequestMarshaller(ProtoUtils.marshaller(request))
                .setResponseMarshaller(ProtoUtils.marshaller(answer))
                .build();
    }

    @SuppressWarnings("unchecked")
    public <Q extends Message, A extends Message> A call(String name, Q request, A answer) {
        var method = method(name, MethodDescriptor.MethodType.UNARY, (Q) request.getDefaultInstanceForType(), answer);
        return ClientCalls.blockingUnaryCall(channel, method, CallOptions.DEFAULT.withDeadlineAfter(20, TimeUnit.SECONDS), request);
    }

    public ModelInferResponse infer(ModelInferRequest.Builder request) {
        return call("ModelInfer", request.build(), ModelInferResponse.getDefaultInstance());
    }

    public StreamObserver<ModelInferRequest> stream(Heard heard, CallOptions options) {
        var method = method("ModelStreamInfer", MethodDescriptor.MethodType.BIDI_STREAMING, ModelInferRequest.getDefaultInstance(),
                ModelStreamInferResponse.getDefaultInstance());
        return ClientCalls.asyncBidiStreamingCall(channel.newCall(method, options), heard);
    }

    /** What comes on a stream. */
    public static final class Heard implements StreamObserver<ModelStreamInferResponse> {
        private final BlockingQueue<ModelStreamInferResponse> answers = new LinkedBlockingQueue<>();
        public volatile Status status;

        @Override
        public void onNext(ModelStreamInferResponse answer) {
            answers.add(answer);
        }

        @Override
        public void onError(Throwable failure) {
            status = Status.fromThrowable(failure);
        }

        @Override
        public void onCompleted() {
            status = Status.OK;
        }

        public ModelStreamInferResponse next() {
            try {
                ModelStreamInferResponse answer = answers.poll(10, TimeUnit.SECONDS);
                assertThat(answer).as("an answer").isNotNull();
                return answer;
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    public static InferInputTensor.Builder tensor(String name, String type) {
        return InferInputTensor.newBuilder().setName(name).setDatatype(type).addShape(1);
    }

    public static InferInputTensor text(String name, String value) {
        return tensor(name, "BYTES").setContents(InferTensorContents.newBuilder().addBytesContents(ByteString.copyFromUtf8(value))).build();
    }

    public static InferInputTensor flag(String name) {
        return tensor(name, "BOOL").setContents(InferTensorContents.newBuilder().addBoolContents(true)).build();
    }

    public static ModelInferRequest.Builder request(String model, String prompt, InferInputTensor... more) {
        return ModelInferRequest.newBuilder().setModelName(model).setId(prompt).addInputs(text("text_input", prompt)).addAllInputs(List.of(more));
    }

    /** The text of an answer. */
    public static String text(ModelInferResponse answer) {
        assertThat(answer.getOutputs(0).getName()).isEqualTo("text_output");
        return answer.getRawOutputContents(0).substring(4).toStringUtf8();
    }

    @Override
    public void close() {
        try {
            channel.shutdownNow().awaitTermination(10, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}
