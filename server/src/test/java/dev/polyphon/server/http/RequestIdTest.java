package dev.polyphon.server.http;

import static dev.polyphon.server.GrpcClient.SERVICE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.polyphon.kserve.proto.ModelConfigRequest;
import dev.polyphon.kserve.proto.ModelConfigResponse;
import dev.polyphon.kserve.proto.ServerLiveRequest;
import dev.polyphon.kserve.proto.ServerLiveResponse;
import dev.polyphon.server.FakeRuntime;
import dev.polyphon.server.GrpcClient;
import dev.polyphon.server.RawClient;
import dev.polyphon.server.TestServer;
import io.grpc.ClientInterceptors;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.util.HashSet;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RequestIdTest {
    private static final String MADE = "req-[0-9a-f]{32}";
    private static final String PROMPT = "{\"model\":\"" + FakeRuntime.BASE + "\",\"prompt\":\"x\"";

    private static TestServer server;

    @BeforeAll
    static void start() {
        server = new TestServer("server.maxBody=1KiB", "server.maxRequestLine=128");
    }

    @AfterAll
    static void stop() {
        server.close();
    }

    @Test
    void everyAnswerHasOne() throws IOException {
        String post = "POST /v1/completions HTTP/1.1\r\nHost: h\r\n";
        var seen = new HashSet<String>();
        for (String request : new String[] {
            "GET /health HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /console HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /admin/v1/adapters HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n",
            "DELETE /v1/models HTTP/1.1\r\nHost: h\r\n\r\n",
            post + "Content-Length: 3\r\n\r\n{x}",
            post + "Content-Length: 5000\r\n\r\n",
            post + "Content-Encoding: br\r\nContent-Length: 3\r\n\r\nabc",
            "GET /" + "a".repeat(200) + " HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "nonsense\r\n\r\n"}) {
            try (RawClient client = server.raw()) {
                String id = client.send(request).answer().headers().get("x-request-id");
                assertThat(id).as(request).matches(MADE);
                assertThat(seen.add(id)).as("not used before").isTrue();
            }
        }
    }

    @Test
    void isTheClientsOwn() {
        for (String rest : new String[] {"}", ",\"stream\":true}", ",\"n\":-1}"}) {
            assertThat(server.post("/v1/completions", PROMPT + rest, "X-Request-Id", "a.b-c_1~2:3/4+5=6@7").header("X-Request-Id")).isEqualTo("a.b-c_1~2:3/4+5=6@7");
        }
        assertThat(server.get("/nowhere", "x-request-id", "mine").header("X-Request-Id")).isEqualTo("mine");
        assertThat(server.get("/nowhere", "x-request-id", "m".repeat(128)).header("X-Request-Id")).isEqualTo("m".repeat(128));
    }

    @ParameterizedTest
    @ValueSource(strings = {"with space", "quote\"", "\u00e4", "<b>", "{\"a\":1}", ""})
    void isMadeAnewWhereTheClientsIsNoName(String hostile) throws IOException {
        try (RawClient client = server.raw()) {
            assertThat(client.send("GET /health HTTP/1.1\r\nHost: h\r\nX-Request-Id: " + hostile + "\r\n\r\n").answer().headers().get("x-request-id")).matches(MADE);
            assertThat(client.send("GET /health HTTP/1.1\r\nHost: h\r\nX-Request-Id: " + "m".repeat(129) + "\r\n\r\n").answer().headers().get("x-request-id")).matches(MADE);
        }
    }

    @Test
    void isOfOneRequestOfAConnectionOnly() throws IOException {
        try (RawClient client = server.raw()) {
            client.send("GET /health HTTP/1.1\r\nHost: h\r\nX-Request-Id: first\r\n\r\nGET /health HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/9.9\r\nHost: h\r\n\r\n");
            assertThat(client.answer().headers().get("x-request-id")).isEqualTo("first");
            assertThat(client.answer().headers().get("x-request-id")).matches(MADE);
            assertThat(client.answer().headers().get("x-request-id")).matches(MADE);
        }
    }

    @Test
    void isInTheMetadataOfCalls() {
        var key = Metadata.Key.of("x-request-id", Metadata.ASCII_STRING_MARSHALLER);
        var headers = new AtomicReference<Metadata>();
        var trailers = new AtomicReference<Metadata>();
        try (var client = new GrpcClient(server.port(), "x-request-id", "call-7")) {
            var channel = ClientInterceptors.intercept(client.channel, MetadataUtils.newCaptureMetadataInterceptor(headers, trailers));
            var live = GrpcClient.method("ServerLive", io.grpc.MethodDescriptor.MethodType.UNARY, ServerLiveRequest.getDefaultInstance(), ServerLiveResponse.getDefaultInstance());
            ClientCalls.blockingUnaryCall(channel, live, io.grpc.CallOptions.DEFAULT, ServerLiveRequest.getDefaultInstance());
            assertThat(headers.get().get(key)).as(SERVICE).isEqualTo("call-7");
            var config = GrpcClient.method("ModelConfig", io.grpc.MethodDescriptor.MethodType.UNARY, ModelConfigRequest.getDefaultInstance(), ModelConfigResponse.getDefaultInstance());
            var refused = catchThrowableOfType(StatusRuntimeException.class, () -> ClientCalls.blockingUnaryCall(channel, config, io.grpc.CallOptions.DEFAULT,
                    ModelConfigRequest.newBuilder().setName("nobody").build()));
            assertThat(refused.getTrailers().get(key)).isEqualTo("call-7");
        }
    }
}
