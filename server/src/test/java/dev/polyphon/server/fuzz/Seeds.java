package dev.polyphon.server.fuzz;

import com.google.protobuf.ByteString;
import com.google.protobuf.MessageLite;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.GgufWriter;
import dev.polyphon.engine.weights.OutgoingTensor;
import dev.polyphon.grpc.health.v1.HealthCheckRequest;
import dev.polyphon.grpc.reflection.v1.ServerReflectionRequest;
import dev.polyphon.kserve.proto.InferParameter;
import dev.polyphon.kserve.proto.ModelConfigRequest;
import dev.polyphon.kserve.proto.ModelRepositoryParameter;
import dev.polyphon.kserve.proto.RepositoryModelLoadRequest;
import dev.polyphon.server.GrpcClient;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveOutputStream;

/** Good inputs and known tricks, which a fuzzer begins with, and what one has found. */
final class Seeds {
    private static final Path GOLDEN = Path.of("../runtime/engine/src/test/resources/golden/adapters");
    /** Inputs that something was found with, in a folder for each target. */
    private static final Path FOUND = Path.of("src/test/resources/fuzz");

    private Seeds() {}

    static List<byte[]> of(String target) throws IOException {
        return switch (target) {
            case "GgufFile" -> List.of(gguf());
            case "SafeTensorsFile" -> List.of(golden("waveft-llama/adapter_model.safetensors"));
            case "TorchBin" -> List.of(golden("legacy-bin-llama/adapter_model.bin"));
            case "AdapterConfig" -> List.of(golden("waveft-llama/adapter_config.json"), golden("hub-prefix-llama/adapter_config.json"),
                    golden("legacy-bin-llama/adapter_config.json"));
            case "Archive" -> List.of(tar("adapter_config.json"), tar("../x"), zip("a/adapter_config.json"), zip("/etc/x"));
            case "Template" -> texts(
                    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n'}}{% endfor %}"
                            + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
                    "{{ ''.getClass().forName('java.lang.Runtime') }}",
                    "{{ messages.getClass().getClassLoader() }}{{ bos_token.class }}",
                    "{% set ns = namespace(x=[1]) %}{% for a in range(3) %}{% set ns.x = ns.x + [a|string] %}{% endfor %}{{ ns.x|join('-')|replace('1', 'x')|indent(2) }}",
                    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
            case "GrammarText" -> List.of(chosen(0, "(a|bc)*[^x-z]{2,5}\\d+?"), chosen(1, "root ::= \"a\" x+ | [0-9]{2}\nx ::= (\"b\" | root)?"),
                    chosen(2, "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":-3},\"b\":{\"$ref\":\"#/$defs/c\"}},"
                            + "\"$defs\":{\"c\":{\"anyOf\":[{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}},{\"pattern\":\"^x+$\"}]}}}"));
            case "Yaml" -> List.of(Files.readAllBytes(Path.of("../configs/polyphon.yaml")), bytes("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"));
            case "Http" -> texts(
                    "GET /v1/models?a=%20b HTTP/1.1\r\nHost: t\r\nX-Api-Key: pk_x\r\n\r\nGET /health HTTP/1.0\r\n\r\n",
                    "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                    "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                    "GET http://t/admin/v1/adapters/..%2f..%2fetc?owner=%00 HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
            case "Completion" -> texts(
                    "{\"model\":\"french\",\"prompt\":[\"a b\",[1,2]],\"max_tokens\":2,\"n\":2,\"stop\":[\"x\"],\"logit_bias\":{\"1\":2}}",
                    "{\"model\":\"french\",\"prompt\":\"a\",\"stream\":true,\"logprobs\":2,\"response_format\":{\"type\":\"json_schema\",\"json_schema\":"
                            + "{\"schema\":{\"type\":\"object\"}}}}");
            case "Chat" -> texts("{\"model\":\"french\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"t\"}]},{\"role\":\"assistant\","
                    + "\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}],\"tools\":[]}");
            case "Infer" -> texts("{\"id\":\"1\",\"inputs\":[{\"name\":\"text_input\",\"shape\":[1],\"datatype\":\"BYTES\",\"data\":[\"x\"]},"
                    + "{\"name\":\"stream\",\"shape\":[1],\"datatype\":\"BOOL\",\"data\":[false]}],\"parameters\":{\"temperature\":0}}");
            case "BinaryInfer" -> {
                byte[] header = bytes("{\"inputs\":[{\"name\":\"text_input\",\"shape\":[1],\"datatype\":\"BYTES\",\"parameters\":{\"binary_data_size\":5}}]}");
                yield List.of(joined(new byte[] {(byte) header.length}, header, new byte[] {1, 0, 0, 0, 'x'}));
            }
            case "Grpc" -> {
                var infer = GrpcClient.request("french", "hello", GrpcClient.text("sampling_parameters", "{\"max_tokens\":2,\"temperature\":0.5,\"stop\":[\"x\"]}"),
                        GrpcClient.flag("exclude_input_in_output")).putParameters("priority", InferParameter.newBuilder().setInt64Param(1).build()).build();
                var raw = GrpcClient.request("french", "hello").clearInputs().addInputs(GrpcClient.tensor("text_input", "BYTES"))
                        .addRawInputContents(ByteString.copyFrom(new byte[] {1, 0, 0, 0, 'x'})).build();
                var stream = GrpcClient.request("french", "hello", GrpcClient.flag("stream")).build();
                yield List.of(call(0, infer), call(0, raw), call(1, stream, infer), joined(new byte[] {0}, packed(infer)),
                        call(2, RepositoryModelLoadRequest.newBuilder().setModelName("../x")
                                .putParameters("config", ModelRepositoryParameter.newBuilder().setStringParam("{\"path\":\"/x\"}").build()).build()),
                        call(3, ModelConfigRequest.newBuilder().setName("french").build()), call(4, HealthCheckRequest.newBuilder().setService("x").build()),
                        call(5, ServerReflectionRequest.newBuilder().setListServices("").build(), ServerReflectionRequest.newBuilder().setFileContainingSymbol("inference").build()));
            }
            case "Events" -> texts("data: {\"id\":\"1\",\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"choices\":[{\"text\":\"b\",\"finish_reason\":\"stop\"}],"
                    + "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n", "data: {\"error\":{\"message\":\"m\"}}\r\n\r\n");
            default -> throw new IllegalArgumentException("there are no seeds for " + target);
        };
    }

    /** What was found with a target, by the files' names. */
    static List<byte[]> found(String target) throws IOException {
        var all = new ArrayList<byte[]>();
        if (Files.isDirectory(FOUND.resolve(target))) {
            try (var files = Files.list(FOUND.resolve(target))) {
                for (Path file : files.sorted().toList()) {
                    all.add(Files.readAllBytes(file));
                }
            }
        }
        return all;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static byte[] joined(byte[]... parts) {
        var all = new ByteArrayOutputStream();
        Arrays.stream(parts).forEach(all::writeBytes);
        return all.toByteArray();
    }

    private static List<byte[]> texts(String... texts) {
        return Arrays.stream(texts).map(Seeds::bytes).toList();
    }

    /** Messages of a call, each behind its flag and length. */
    private static byte[] call(int method, MessageLite... messages) {
        return joined(new byte[] {(byte) method}, joined(Arrays.stream(messages).map(message -> framed(0, message.toByteArray())).toArray(byte[][]::new)));
    }

    private static byte[] framed(int flag, byte[] message) {
        return joined(ByteBuffer.allocate(5).put((byte) flag).putInt(message.length).array(), message);
    }

    /** One message in gzip. */
    private static byte[] packed(MessageLite message) throws IOException {
        var out = new ByteArrayOutputStream();
        try (var gzip = new GZIPOutputStream(out)) {
            message.writeTo(gzip);
        }
        return framed(1, out.toByteArray());
    }

    private static byte[] chosen(int choice, String text) {
        return joined(new byte[] {(byte) choice}, bytes(text));
    }

    private static byte[] golden(String file) throws IOException {
        return Files.readAllBytes(GOLDEN.resolve(file));
    }

    private static byte[] gguf() throws IOException {
        Path file = Files.createTempFile("seed", ".gguf");
        try {
            Files.delete(file);
            var tensor = new OutgoingTensor("token_embd.weight", DType.F32, new long[] {2, 2}, channel -> channel.write(ByteBuffer.allocate(16)));
            new GgufWriter().integer("general.version", 1).add(tensor).write(file);
            return Files.readAllBytes(file);
        } finally {
            Files.deleteIfExists(file);
        }
    }

    private static byte[] tar(String name) {
        var out = new ByteArrayOutputStream();
        try (var tar = new TarArchiveOutputStream(out, 512)) {
            var entry = new TarArchiveEntry(name);
            entry.setSize(2);
            tar.putArchiveEntry(entry);
            tar.write(bytes("{}"));
            tar.closeArchiveEntry();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return joined(new byte[] {0}, out.toByteArray());
    }

    private static byte[] zip(String name) {
        var out = new ByteArrayOutputStream();
        try (var zip = new ZipOutputStream(out)) {
            zip.putNextEntry(new ZipEntry(name));
            zip.write(bytes("{}"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return joined(new byte[] {1}, out.toByteArray());
    }
}
