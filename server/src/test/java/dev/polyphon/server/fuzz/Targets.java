package dev.polyphon.server.fuzz;

import dev.polyphon.client.PolyphonClient;
import dev.polyphon.client.Request;
import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.pool.AdapterPool;
import dev.polyphon.engine.pool.PoolOptions;
import dev.polyphon.engine.sample.Vocabulary;
import dev.polyphon.engine.sample.grammar.Grammars;
import dev.polyphon.engine.text.ChatTemplate;
import dev.polyphon.engine.text.TemplateException;
import dev.polyphon.engine.weights.Gguf;
import dev.polyphon.engine.weights.MalformedFileException;
import dev.polyphon.engine.weights.SafeTensors;
import dev.polyphon.engine.weights.TensorFile;
import dev.polyphon.engine.weights.TensorView;
import dev.polyphon.engine.weights.TorchFile;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.AdapterUpload;
import dev.polyphon.runtime.Grammar;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.server.RawClient;
import dev.polyphon.server.TestServer;
import dev.polyphon.server.config.ConfigException;
import dev.polyphon.server.config.PolyphonConfig;
import dev.polyphon.server.config.Sources;
import java.io.ByteArrayInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.ValueLayout;
import java.net.SocketException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/**
 * Everything that reads what others wrote. A target takes bytes and says by an exception that they did something they must not: anything but the refusals
 * that its reader documents. The names of classes and methods are those that libFuzzer and Jazzer ask for.
 */
public final class Targets {
    private static final Path FOLDER = folder();

    private Targets() {}

    /** Takes an input. */
    interface Reader {
        void take(byte[] data) throws Exception;
    }

    /** One of the targets and its class's name. */
    record Target(String name, Reader reader) {}

    static final List<Target> ALL = List.of(
            new Target("GgufFile", GgufFile::fuzzerTestOneInput),
            new Target("SafeTensorsFile", SafeTensorsFile::fuzzerTestOneInput),
            new Target("TorchBin", TorchBin::fuzzerTestOneInput),
            new Target("AdapterConfig", AdapterConfig::fuzzerTestOneInput),
            new Target("Archive", Archive::fuzzerTestOneInput),
            new Target("Template", Template::fuzzerTestOneInput),
            new Target("GrammarText", GrammarText::fuzzerTestOneInput),
            new Target("Yaml", Yaml::fuzzerTestOneInput),
            new Target("Http", Http::fuzzerTestOneInput),
            new Target("Completion", Completion::fuzzerTestOneInput),
            new Target("Chat", Chat::fuzzerTestOneInput),
            new Target("Infer", Infer::fuzzerTestOneInput),
            new Target("BinaryInfer", BinaryInfer::fuzzerTestOneInput),
            new Target("Grpc", Grpc::fuzzerTestOneInput),
            new Target("Events", Events::fuzzerTestOneInput));

    /** All of them: the first byte chooses. */
    public static final class Any {
        public static void fuzzerTestOneInput(byte[] data) throws Exception {
            if (data.length > 0) {
                Target target = ALL.get((data[0] & 0xff) % ALL.size());
                try {
                    target.reader.take(Arrays.copyOfRange(data, 1, data.length));
                } catch (Exception | Error e) {
                    throw new AssertionError(target.name + " failed", e);
                }
            }
        }
    }

    /** The files and folders that targets write. */
    private static final Set<String> OWN = Set.of("model.gguf", "adapter.safetensors", "adapter.bin", "adapter", "pool", "polyphon.yaml");

    private static Path folder() {
        try {
            return Files.createTempDirectory("polyphon-fuzz");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void read(TensorFile file) {
        for (TensorView tensor : file.tensors()) {
            if (tensor.data().byteSize() > 0) {
                tensor.data().get(ValueLayout.JAVA_BYTE, 0);
                tensor.data().get(ValueLayout.JAVA_BYTE, tensor.data().byteSize() - 1);
            }
            file.find(tensor.name()).orElseThrow();
        }
    }

    /** A model's file. */
    public static final class GgufFile {
        public static void fuzzerTestOneInput(byte[] data) throws IOException {
            try (var file = Gguf.open(Files.write(FOLDER.resolve("model.gguf"), data))) {
                read(file);
            } catch (MalformedFileException e) {
                // Refused, with a reason.
            }
        }
    }

    /** An adapter's weights. */
    public static final class SafeTensorsFile {
        public static void fuzzerTestOneInput(byte[] data) throws IOException {
            try (var file = SafeTensors.open(Files.write(FOLDER.resolve("adapter.safetensors"), data))) {
                read(file);
            } catch (MalformedFileException e) {
                // Refused, with a reason.
            }
        }
    }

    /** An old adapter's weights: a pickle in a zip. */
    public static final class TorchBin {
        public static void fuzzerTestOneInput(byte[] data) throws IOException {
            try (var file = TorchFile.open(Files.write(FOLDER.resolve("adapter.bin"), data))) {
                read(file);
            } catch (MalformedFileException e) {
                // Refused, with a reason.
            }
        }
    }

    /** An adapter's configuration. */
    public static final class AdapterConfig {
        public static void fuzzerTestOneInput(byte[] data) throws IOException {
            Path folder = Files.createDirectories(FOLDER.resolve("adapter"));
            Files.write(folder.resolve("adapter_config.json"), data);
            try {
                var adapter = AdapterFolder.open(folder);
                adapter.kind();
                adapter.tasks();
            } catch (AdapterFault e) {
                // Refused, with a reason.
            }
        }
    }

    /** An archive with an adapter's files: a tar, or with a first byte that is odd a zip. */
    public static final class Archive {
        private static final AdapterPool POOL = pool();

        private static AdapterPool pool() {
            try {
                return new AdapterPool("base", PoolOptions.of(1 << 20).withStore(FOLDER.resolve("pool")), _ -> {
                    throw new AdapterFault("not to be loaded");
                }, Runnable::run, new RuntimeObserver() {});
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        public static void fuzzerTestOneInput(byte[] data) throws IOException {
            if (data.length == 0) {
                return;
            }
            var content = new ByteArrayInputStream(data, 1, data.length - 1);
            var registration = new AdapterRegistration(AdapterId.shared("sent"), "base", new AdapterSource.Upload(), Map.of(), null, true);
            try (AdapterUpload upload = POOL.catalog().upload(registration)) {
                if (data[0] % 2 == 0) {
                    upload.tar(content);
                } else {
                    upload.zip(content);
                }
            } catch (IOException | RuntimeFault e) {
                // Refused, with a reason.
            }
            try (var left = Files.list(FOLDER.resolve("pool").resolve("arriving")); var all = Files.list(FOLDER)) {
                if (left.findAny().isPresent() || all.anyMatch(file -> !OWN.contains(file.getFileName().toString()))) {
                    throw new AssertionError("files were left, or written elsewhere");
                }
            }
        }
    }

    /** What an output must look like: the first byte says in which notation. */
    public static final class GrammarText {
        private static final Grammars GRAMMARS = new Grammars(new Vocabulary(256, Set.of(0), id -> new byte[] {(byte) id}), false, Runnable::run);

        public static void fuzzerTestOneInput(byte[] data) {
            if (data.length == 0) {
                return;
            }
            String text = new String(data, 1, data.length - 1, StandardCharsets.UTF_8);
            try {
                GRAMMARS.constrain(switch (data[0] & 3) {
                    case 0 -> new Grammar.Regex(text);
                    case 1 -> new Grammar.Rules(text);
                    default -> new Grammar.JsonSchema(text);
                });
            } catch (RuntimeFault e) {
                // Refused, with a reason.
            }
        }
    }

    /** A chat template, which comes with a model and is a program. */
    public static final class Template {
        public static void fuzzerTestOneInput(byte[] data) {
            try {
                new ChatTemplate(new String(data, StandardCharsets.UTF_8), "<s>", "</s>")
                        .render(new Prompt.Chat(List.of(Map.of("role", "user", "content", "hello")), List.of(), true, Map.of()));
            } catch (TemplateException e) {
                // Refused, with a reason.
            }
        }
    }

    /** A configuration file. */
    public static final class Yaml {
        public static void fuzzerTestOneInput(byte[] data) throws IOException {
            try {
                PolyphonConfig.read(Sources.of(Files.write(FOLDER.resolve("polyphon.yaml"), data), Map.of(), Map.of()));
            } catch (ConfigException e) {
                // Refused, with a reason.
            }
        }
    }

    /** What comes in on a connection, as it is. */
    public static final class Http {
        public static void fuzzerTestOneInput(byte[] data) throws IOException {
            try (RawClient client = Server.http().raw()) {
                client.send(data).finish();
                while (true) {
                    String line = client.line();
                    if (line.startsWith("HTTP/1.1 500")) {
                        throw new AssertionError("the server failed");
                    }
                }
            } catch (EOFException | SocketException e) {
                // Closed, as it is for what is no request.
            }
        }
    }

    /** The body of a completion. */
    public static final class Completion {
        public static void fuzzerTestOneInput(byte[] data) throws IOException {
            Server.post("/v1/completions", "application/json", data);
        }
    }

    /** The body of a chat. */
    public static final class Chat {
        public static void fuzzerTestOneInput(byte[] data) throws IOException {
            Server.post("/v1/chat/completions", "application/json", data);
        }
    }

    /** Tensors in JSON. */
    public static final class Infer {
        public static void fuzzerTestOneInput(byte[] data) throws IOException {
            Server.post("/v2/models/french/infer", "application/json", data);
        }
    }

    /** Tensors behind a JSON header, whose length is the first byte. */
    public static final class BinaryInfer {
        public static void fuzzerTestOneInput(byte[] data) throws IOException {
            int header = data.length == 0 ? 0 : data[0] & 0xff;
            Server.post("/v2/models/french/infer", "application/octet-stream\r\nInference-Header-Content-Length: " + header, data.length == 0 ? data
                    : Arrays.copyOfRange(data, 1, data.length));
        }
    }

    /** The messages of a gRPC call, each behind its flag and length; the first byte chooses the method. */
    public static final class Grpc {
        static final List<String> METHODS = List.of("inference.GRPCInferenceService/ModelInfer", "inference.GRPCInferenceService/ModelStreamInfer",
                "inference.GRPCInferenceService/RepositoryModelLoad", "inference.GRPCInferenceService/ModelConfig", "grpc.health.v1.Health/Check",
                "grpc.reflection.v1.ServerReflection/ServerReflectionInfo");

        public static void fuzzerTestOneInput(byte[] data) throws IOException {
            if (data.length > 0 && call(METHODS.get((data[0] & 0xff) % METHODS.size()), Arrays.copyOfRange(data, 1, data.length)).contains("The server failed")) {
                throw new AssertionError("the server failed");
            }
        }

        /** The answer as it is, trailers included. The service does not ask which version of HTTP carries it. */
        static String call(String method, byte[] body) throws IOException {
            try (RawClient client = Server.http().raw()) {
                client.send("POST /" + method + " HTTP/1.1\r\nHost: t\r\nContent-Type: application/grpc\r\nTE: trailers\r\ngrpc-encoding: gzip\r\nConnection: close\r\n"
                        + "Content-Length: " + body.length + "\r\n\r\n");
                return client.send(body).rest();
            } catch (SocketException e) {
                // Answered, and closed, before all had been sent.
                return "";
            }
        }
    }

    /** What a server answers to the Java client that asked for a stream. */
    public static final class Events {
        private static final AnsweringSocket SERVER = new AnsweringSocket();
        private static final PolyphonClient CLIENT = new PolyphonClient(URI.create("http://127.0.0.1:" + SERVER.port()));

        public static void fuzzerTestOneInput(byte[] data) throws Exception {
            SERVER.answer("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n", data);
            try {
                CLIENT.streamAsync(new Request.Completion("french", "hello", Map.of()), _ -> {}).get(10, TimeUnit.SECONDS);
            } catch (ExecutionException e) {
                if (!(e.getCause() instanceof IOException)) {
                    throw e;
                }
            }
        }
    }

    private static void requireNoFailure(RawClient.Answer answer) {
        if (answer.status() == 500) {
            throw new AssertionError("the server failed: " + answer.body());
        }
    }

    /** A server for all of them, and one connection to it. */
    private static final class Server {
        private static final TestServer HTTP = new TestServer("metrics.jvm=false");
        private static RawClient client;

        static TestServer http() {
            return HTTP;
        }

        static void post(String path, String type, byte[] body) throws IOException {
            if (client == null) {
                client = HTTP.raw();
            }
            client.send("POST " + path + " HTTP/1.1\r\nHost: t\r\nContent-Type: " + type + "\r\nContent-Length: " + body.length + "\r\n\r\n");
            RawClient.Answer answer = client.send(body).answer();
            requireNoFailure(answer);
            if ("close".equals(answer.headers().get("connection"))) {
                client.close();
                client = null;
            }
        }
    }
}
