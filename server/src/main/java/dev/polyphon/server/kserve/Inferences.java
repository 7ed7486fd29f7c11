package dev.polyphon.server.kserve;

import dev.polyphon.kserve.proto.ModelInferRequest;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.server.http.Outlet;
import dev.polyphon.server.http.Request;
import dev.polyphon.server.openai.Admission;
import dev.polyphon.server.openai.ApiError;
import dev.polyphon.server.openai.ApiException;
import dev.polyphon.server.openai.ApiObserver;
import dev.polyphon.server.openai.Call;
import dev.polyphon.server.openai.RequestLimits;
import dev.polyphon.server.openai.Targets;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Starts what requests for inference ask for, whichever way they came. */
final class Inferences {
    private static final Logger LOG = LoggerFactory.getLogger(Inferences.class);

    /** Requests above this many bytes are read on a thread of their own: event loops must not be kept from other connections. */
    static final int INLINE = 32 << 10;

    private final Runtime runtime;
    private final RequestLimits limits;
    private final Admission admission;
    private final ApiObserver observer;
    private final Targets targets;

    Inferences(Runtime runtime, RequestLimits limits, Admission admission, ApiObserver observer) {
        this.runtime = runtime;
        this.limits = limits;
        this.admission = admission;
        this.observer = observer;
        this.targets = new Targets(runtime);
    }

    /** Prepares to answer; on the event loop. */
    Call call(Outlet outlet) {
        return new Call(outlet, runtime, admission, observer);
    }

    /**
     * Reads a request and starts it; on any thread.
     *
     * @param request may throw {@link ApiException}
     * @param single why there must be one answer only, or null where there may be several
     */
    void start(Call call, Outlet outlet, Supplier<ModelInferRequest> request, Sender sender, String single) {
        try {
            Inference asked = Inference.read(request.get(), targets, limits, outlet);
            if (single != null && asked.generate().stream()) {
                throw Inputs.wrong(Signature.STREAM, single);
            }
            call.start(asked.generate(), asked.reply(sender));
        } catch (RuntimeException e) {
            ApiError error = error(e, outlet.request());
            call.reject(error, () -> sender.failed(error));
        }
    }

    /** What to tell of a failure. */
    static ApiError error(RuntimeException failure, Request request) {
        return switch (failure) {
            case ApiException e -> e.error();
            case RuntimeFault e -> ApiError.of(e);
            default -> {
                LOG.error("{} failed", request.line(), failure);
                yield ApiError.transport(500, "The server failed to handle this request.");
            }
        };
    }
}
