package dev.polyphon.server.grpc;

import com.google.protobuf.Message;
import com.google.protobuf.MessageLite;
import com.google.protobuf.Parser;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Handler;
import dev.polyphon.server.http.Request;
import dev.polyphon.server.http.Response;
import dev.polyphon.server.http.Router;
import java.io.IOException;
import java.time.Duration;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BiFunction;

/** One service's methods. Each call runs on a thread of its own, which may wait. */
public final class GrpcEndpoint implements Handler {
    /** Longest deadline that is kept track of: longer ones are as good as none. */
    private static final Duration LONGEST = Duration.ofDays(1);

    /** Handles a call, to its end or until all that remains happens elsewhere. */
    @FunctionalInterface
    public interface Method {
        void run(GrpcCall call) throws IOException;
    }

    private final String service;
    private final int limit;
    private final Map<String, Method> methods = new TreeMap<>();

    /**
     * @param service its full name
     * @param limit bytes of a message
     */
    public GrpcEndpoint(String service, int limit) {
        this.service = service;
        this.limit = limit;
    }

    public GrpcEndpoint method(String name, Method method) {
        methods.put(name, method);
        return this;
    }

    /** Adds a method with one message in and one out. */
    public <M extends Message> GrpcEndpoint unary(String name, M request, BiFunction<M, GrpcCall, MessageLite> method) {
        @SuppressWarnings("unchecked")
        Parser<M> parser = (Parser<M>) request.getParserForType();
        return method(name, call -> {
            MessageLite answer = method.apply(call.only(parser), call);
            call.execute(() -> {
                call.send(answer);
                call.finish();
            });
        });
    }

    /** Whether a request is one of gRPC, and not of its relative for browsers. */
    public static boolean isCall(Request request) {
        String type = request.header("Content-Type");
        return type != null && type.matches("application/grpc(\\+proto)?(;.*)?");
    }

    /** The whole answer to a call that is refused. */
    public static Response refusal(GrpcStatus status, String message, Duration retryAfter) {
        return new Response(200, GrpcCall.TYPE, new byte[0], GrpcCall.trailers(status, message, retryAfter));
    }

    public void addTo(Router router) {
        router.open("POST", "/" + service + "/*", this);
    }

    @Override
    public void handle(Exchange exchange) {
        if (!isCall(exchange.request())) {
            exchange.respond(Response.text(415, "This is a gRPC service: the content type must be " + GrpcCall.TYPE + "."));
            return;
        }
        var call = new GrpcCall(exchange, limit);
        Method method = methods.get(exchange.request().path().substring(service.length() + 2));
        if (method == null) {
            call.fail(new GrpcException(GrpcStatus.UNIMPLEMENTED, "There is no method " + exchange.request().path() + "."));
            return;
        }
        try {
            Duration deadline = deadline(exchange.request().header("grpc-timeout"));
            if (deadline.compareTo(LONGEST) < 0) {
                call.endAfter(deadline);
            }
        } catch (GrpcException e) {
            call.fail(e);
            return;
        }
        Thread.ofVirtual().name("grpc").start(() -> run(method, call));
    }

    private static void run(Method method, GrpcCall call) {
        try {
            method.run(call);
        } catch (GrpcException e) {
            call.execute(() -> call.fail(e));
        } catch (IOException e) {
            // Told to a client that is still there: it has sent nothing for too long.
            call.execute(() -> call.finish(GrpcStatus.CANCELLED, e.getMessage(), null));
        } catch (RuntimeException e) {
            call.execute(() -> call.broken(e));
        }
    }

    /** A number of up to 8 digits and a unit. */
    private static Duration deadline(String timeout) {
        if (timeout == null) {
            return LONGEST;
        }
        if (!timeout.matches("\\d{1,8}[HMSmun]")) {
            throw new GrpcException(GrpcStatus.INTERNAL, "The header grpc-timeout must be up to 8 digits and one of H, M, S, m, u and n, found '" + timeout + "'.");
        }
        long amount = Long.parseLong(timeout.substring(0, timeout.length() - 1));
        return switch (timeout.charAt(timeout.length() - 1)) {
            case 'H' -> Duration.ofHours(amount);
            case 'M' -> Duration.ofMinutes(amount);
            case 'S' -> Duration.ofSeconds(amount);
            case 'm' -> Duration.ofMillis(amount);
            case 'u' -> Duration.ofNanos(amount * 1000);
            default -> Duration.ofNanos(amount);
        };
    }
}
