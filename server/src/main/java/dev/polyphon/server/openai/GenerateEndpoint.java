package dev.polyphon.server.openai;

import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Handler;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** {@code POST /v1/completions}, {@code /v1/chat/completions} or {@code /v1/embeddings}. */
final class GenerateEndpoint implements Handler {
    private static final Logger LOG = LoggerFactory.getLogger(GenerateEndpoint.class);

    /** Bodies above this are parsed on a thread of their own: event loops must not be kept from other connections. */
    private static final int INLINE = 32 << 10;

    private final Runtime runtime;
    private final RequestLimits limits;
    private final Asked.Reader reader;
    private final Admission admission;
    private final ApiObserver observer;
    private final Targets targets;

    GenerateEndpoint(Runtime runtime, RequestLimits limits, Asked.Reader reader, Admission admission, ApiObserver observer) {
        this.runtime = runtime;
        this.limits = limits;
        this.reader = reader;
        this.admission = admission;
        this.observer = observer;
        this.targets = new Targets(runtime);
    }

    @Override
    public void handle(Exchange exchange) {
        var call = new Call(exchange, runtime, admission, observer);
        if (exchange.request().body().length <= INLINE) {
            run(exchange, call);
        } else {
            exchange.offload(() -> run(exchange, call));
        }
    }

    private void run(Exchange exchange, Call call) {
        try {
            Fields fields = new Fields(Json.object(exchange.request()));
            Asked asked = reader.read(fields, targets.find(fields, limits.adapters(), exchange), limits);
            call.start(asked.generate(), asked.reply().apply(exchange));
        } catch (ApiException e) {
            reject(exchange, call, e.error());
        } catch (RuntimeFault e) {
            reject(exchange, call, ApiError.of(e));
        } catch (RuntimeException e) {
            LOG.error("{} failed", exchange.request().line(), e);
            reject(exchange, call, ApiError.transport(500, "The server failed to handle this request."));
        }
    }

    private static void reject(Exchange exchange, Call call, ApiError error) {
        call.reject(error, () -> exchange.respond(error.response()));
    }
}
