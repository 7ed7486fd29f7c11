package dev.polyphon.server;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.EOFException;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * Requests with something wrong at random: each is answered, and never with a failure of the server. The seeds are fixed, so that what fails
 * once fails again.
 */
@ExtendWith(LeakCheck.class)
class FuzzTest {
    private static final String COMPLETION = """
            {"model":"french","prompt":["one two",[1,2]],"max_tokens":4,"temperature":0.5,"top_p":0.9,"top_k":4,"min_p":0.1,"n":2,"best_of":2,
            "stop":["a"],"stop_token_ids":[1],"logit_bias":{"5":1},"logprobs":2,"prompt_logprobs":1,"seed":7,"echo":true,"stream":false,"user":"x","suffix":null,
            "presence_penalty":1,"frequency_penalty":1,"repetition_penalty":1.1,"min_tokens":0,"ignore_eos":false,"add_special_tokens":true}""";
    private static final String CHAT = """
            {"model":"french","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"t"}]},
            {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"1","content":"r"}],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],
            "tool_choice":"auto","max_completion_tokens":4,"logprobs":true,"top_logprobs":2,"stream":true,"stream_options":{"include_usage":true},
            "response_format":{"type":"text"},"chat_template_kwargs":{"a":1},"n":1,"temperature":1}""";
    private static final String LOAD = "{\"lora_name\":\"n\",\"lora_path\":\"/nowhere\",\"load_inplace\":false,\"base_model_name\":\"org/base-135m\"}";

    private static TestServer server;

    @BeforeAll
    static void start() {
        server = new TestServer();
    }

    @AfterAll
    static void stop() {
        server.close();
    }

    @Test
    void survivesWrongValues() throws IOException {
        var random = new Random(1);
        try (var client = server.raw()) {
            for (int i = 0; i < 3000; i++) {
                boolean chat = i % 3 == 0;
                boolean load = i % 30 == 1;
                String json = mutate(TestServer.parse(chat ? CHAT : load ? LOAD : COMPLETION), random).toString();
                String path = chat ? "/v1/chat/completions" : load ? "/v1/load_lora_adapter" : "/v1/completions";
                assertAnswered(client.post(path, json).answer(), json);
            }
        }
    }

    @Test
    void survivesWrongText() throws IOException {
        var random = new Random(2);
        try (var client = server.raw()) {
            for (int i = 0; i < 3000; i++) {
                byte[] body = damage((i % 2 == 0 ? CHAT : COMPLETION).getBytes(StandardCharsets.UTF_8), random);
                client.send("POST " + (i % 2 == 0 ? "/v1/chat/completions" : "/v1/completions")
                        + " HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: " + body.length + "\r\n\r\n");
                assertAnswered(client.send(body).answer(), new String(body, StandardCharsets.UTF_8));
            }
        }
    }

    @Test
    void survivesWrongHttp() throws Exception {
        var random = new Random(3);
        byte[] whole = ("POST /v1/completions?a=b%20c HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
                        + "Transfer-Encoding: chunked\r\n\r\n" + Integer.toHexString(COMPLETION.length()) + "\r\n" + COMPLETION + "\r\n0\r\nX: y\r\n\r\n"
                        + "GET /v1/models HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
                .getBytes(StandardCharsets.US_ASCII);
        var requests = IntStream.range(0, 2000).mapToObj(_ -> damage(whole, random)).toList();
        // Many at a time, since many end in a timeout.
        try (var server = new TestServer("server.headerTimeout=100ms", "server.bodyTimeout=100ms", "server.idleTimeout=200ms");
                var threads = Executors.newFixedThreadPool(64)) {
            for (var answered : threads.invokeAll(requests.stream().map(request -> exchange(server, request)).toList())) {
                answered.get();
            }
            assertThat(server.get("/health").status()).isEqualTo(200);
        }
    }

    /** What follows depends on what the damage made of the request: answers, a timeout's answer, or the end; never a failure, or silence. */
    private static Callable<Void> exchange(TestServer server, byte[] request) {
        return () -> {
            try (var client = server.raw()) {
                client.send(request);
                for (int answers = 0; answers < 10; answers++) {
                    var answer = client.answer();
                    assertThat(answer.status()).as(new String(request, StandardCharsets.ISO_8859_1)).matches(status -> status < 500 || status == 505);
                }
            } catch (EOFException | SocketException e) {
                // Closed.
            }
            return null;
        };
    }

    private static void assertAnswered(RawClient.Answer answer, String request) {
        assertThat(answer.status()).as(request).isBetween(200, 499);
        if (answer.status() != 200) {
            assertThat(TestServer.parse(answer.body()).at("/error/message").asText()).as(request).isNotEmpty();
        }
    }

    /** The same with one to three of its values replaced, removed, doubled or nested. */
    private static JsonNode mutate(JsonNode root, Random random) {
        for (int i = random.nextInt(3); i >= 0; i--) {
            var places = new ArrayList<JsonNode>();
            containers(root, places);
            JsonNode place = places.get(random.nextInt(places.size()));
            if (place instanceof ObjectNode object && !object.isEmpty()) {
                var names = new ArrayList<String>();
                object.fieldNames().forEachRemaining(names::add);
                String name = names.get(random.nextInt(names.size()));
                switch (random.nextInt(5)) {
                    case 0 -> object.remove(name);
                    case 1 -> object.set(names.get(random.nextInt(names.size())), object.get(name).deepCopy());
                    default -> object.set(name, strange(random));
                }
            } else if (place instanceof ArrayNode array && !array.isEmpty()) {
                switch (random.nextInt(4)) {
                    case 0 -> array.remove(random.nextInt(array.size()));
                    case 1 -> array.add(strange(random));
                    default -> array.set(random.nextInt(array.size()), strange(random));
                }
            }
        }
        return root;
    }

    private static void containers(JsonNode node, List<JsonNode> found) {
        if (node.isContainerNode()) {
            found.add(node);
            node.forEach(child -> containers(child, found));
        }
    }

    private static JsonNode strange(Random random) {
        var make = JsonNodeFactory.instance;
        return switch (random.nextInt(18)) {
            case 0 -> make.nullNode();
            case 1 -> make.booleanNode(random.nextBoolean());
            case 2 -> make.numberNode(random.nextInt());
            case 3 -> make.numberNode(random.nextInt(5) - 1);
            case 4 -> make.numberNode(Long.MIN_VALUE);
            case 5 -> make.numberNode(BigInteger.TEN.pow(50));
            case 6 -> make.numberNode(new BigDecimal("1e-400"));
            case 7 -> make.numberNode(random.nextGaussian() * 10);
            case 8 -> make.numberNode(Double.MAX_VALUE);
            case 9 -> make.textNode("");
            case 10 -> make.textNode("\u0000\ud83d\uffff‮ ../../etc/passwd");
            case 11 -> make.textNode("x".repeat(random.nextInt(3000)));
            case 12 -> make.textNode("french");
            case 13 -> make.arrayNode();
            case 14 -> make.objectNode();
            case 15 -> make.arrayNode().add(make.arrayNode().add(1).add("x")).add(make.nullNode());
            case 16 -> make.objectNode().put("", 1).putNull("type");
            default -> make.arrayNode().add(random.nextInt(1500)).add(3.5);
        };
    }

    /** The same with some bytes changed, cut out, put in or cut off. */
    private static byte[] damage(byte[] whole, Random random) {
        byte[] bytes = whole.clone();
        for (int i = random.nextInt(4); i >= 0 && bytes.length > 1; i--) {
            int at = random.nextInt(bytes.length);
            switch (random.nextInt(5)) {
                case 0 -> bytes[at] = (byte) random.nextInt(256);
                case 1 -> bytes[at] = (byte) "{}[]\",:0-e\r\n \\u".charAt(random.nextInt(15));
                case 2 -> bytes = Arrays.copyOf(bytes, at + 1);
                case 3 -> {
                    byte[] shorter = Arrays.copyOf(bytes, bytes.length - 1);
                    System.arraycopy(bytes, at + 1, shorter, at, shorter.length - at);
                    bytes = shorter;
                }
                default -> {
                    byte[] longer = Arrays.copyOf(bytes, bytes.length + 1);
                    System.arraycopy(bytes, at, longer, at + 1, bytes.length - at);
                    bytes = longer;
                }
            }
        }
        return bytes;
    }
}
