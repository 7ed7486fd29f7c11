package dev.polyphon.server.observe;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.UnknownFieldSet;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.zip.GZIPInputStream;

/** Takes spans by OTLP over HTTP, and reads them by the field numbers of its published messages. */
final class Collector implements AutoCloseable {
    /** @param attributes as texts */
    record Span(String trace, String id, String parent, String name, int kind, long start, long end, Map<String, String> attributes, boolean error) {}

    final List<Span> spans = new CopyOnWriteArrayList<>();
    final List<byte[]> messages = new CopyOnWriteArrayList<>();
    final Map<String, String> resource = new TreeMap<>();
    final List<String> keys = new CopyOnWriteArrayList<>();
    /** What is answered. */
    volatile int status = 200;
    /** Nothing is answered before it is open. */
    volatile CountDownLatch gate = new CountDownLatch(0);

    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final HttpServer server;

    Collector() {
        try {
            server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 16);
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
        server.createContext("/v1/traces", this::take);
        server.setExecutor(threads);
        server.start();
    }

    String endpoint() {
        return "http://127.0.0.1:" + server.getAddress().getPort();
    }

    private void take(HttpExchange exchange) throws IOException {
        boolean gzip = "gzip".equals(exchange.getRequestHeaders().getFirst("Content-Encoding"));
        byte[] body = (gzip ? new GZIPInputStream(exchange.getRequestBody()) : exchange.getRequestBody()).readAllBytes();
        try {
            gate.await();
        } catch (InterruptedException e) {
            return;
        }
        if (status == 200) {
            keys.add(String.valueOf(exchange.getRequestHeaders().getFirst("X-Key")));
            messages.add(body);
            read(body);
        }
        exchange.getResponseHeaders().add("Content-Type", "application/x-protobuf");
        exchange.sendResponseHeaders(status, -1);
        exchange.close();
    }

    private void read(byte[] message) throws InvalidProtocolBufferException {
        for (ByteString resourceSpans : all(UnknownFieldSet.parseFrom(message), 1)) {
            var ofResource = UnknownFieldSet.parseFrom(resourceSpans);
            resource.putAll(attributes(UnknownFieldSet.parseFrom(all(ofResource, 1).getFirst()), 1));
            for (ByteString scopeSpans : all(ofResource, 2)) {
                for (ByteString span : all(UnknownFieldSet.parseFrom(scopeSpans), 2)) {
                    spans.add(span(UnknownFieldSet.parseFrom(span)));
                }
            }
        }
    }

    private static Span span(UnknownFieldSet span) throws InvalidProtocolBufferException {
        boolean error = false;
        for (ByteString status : all(span, 15)) {
            error = UnknownFieldSet.parseFrom(status).getField(3).getVarintList().contains(2L);
        }
        return new Span(hex(span, 1), hex(span, 2), hex(span, 4), all(span, 5).getFirst().toStringUtf8(), span.getField(6).getVarintList().getFirst().intValue(),
                span.getField(7).getFixed64List().getFirst(), span.getField(8).getFixed64List().getFirst(), attributes(span, 9), error);
    }

    private static Map<String, String> attributes(UnknownFieldSet message, int field) throws InvalidProtocolBufferException {
        var attributes = new TreeMap<String, String>();
        for (ByteString attribute : all(message, field)) {
            var pair = UnknownFieldSet.parseFrom(attribute);
            var value = UnknownFieldSet.parseFrom(all(pair, 2).getFirst());
            attributes.put(all(pair, 1).getFirst().toStringUtf8(),
                    value.hasField(1) ? all(value, 1).getFirst().toStringUtf8() : String.valueOf(value.getField(3).getVarintList().getFirst()));
        }
        return attributes;
    }

    private static List<ByteString> all(UnknownFieldSet message, int field) {
        return message.getField(field).getLengthDelimitedList();
    }

    private static String hex(UnknownFieldSet message, int field) {
        return all(message, field).isEmpty() ? "" : HexFormat.of().formatHex(all(message, field).getFirst().toByteArray());
    }

    /** The only span of a name. */
    Span span(String name) {
        var found = spans.stream().filter(span -> span.name().equals(name)).toList();
        if (found.size() != 1) {
            throw new AssertionError(found.size() + " spans " + name + " in " + spans);
        }
        return found.getFirst();
    }

    @Override
    public void close() {
        gate.countDown();
        server.stop(0);
        threads.shutdownNow();
    }
}
