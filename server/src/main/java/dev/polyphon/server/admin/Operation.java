package dev.polyphon.server.admin;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Handler;
import dev.polyphon.server.http.Response;
import dev.polyphon.server.openai.ApiError;
import dev.polyphon.server.openai.ApiException;
import dev.polyphon.server.tenant.DiskFullException;
import dev.polyphon.server.tenant.TenantFault;
import java.io.IOException;
import java.util.concurrent.CompletionException;
import org.slf4j.LoggerFactory;

/** Answers a request with JSON, on a thread of its own. */
interface Operation {
    ObjectNode run(Exchange exchange) throws IOException;

    default Handler handler() {
        return exchange -> exchange.offload(() -> exchange.respond(answer(exchange)));
    }

    private Response answer(Exchange exchange) {
        try {
            return Response.json(200, AdapterJson.MAPPER.writeValueAsBytes(run(exchange)));
        } catch (ApiException e) {
            return e.error().response();
        } catch (TenantFault e) {
            return AdaptersAdmin.refused(e.isUnknown() ? 404 : 409, null, e.isUnknown() ? "not_found" : "conflict", e.getMessage()).error().response();
        } catch (RuntimeFault e) {
            return ApiError.of(e).response();
        } catch (CompletionException e) {
            if (e.getCause() instanceof RuntimeFault fault) {
                return ApiError.of(fault).response();
            }
            throw e;
        } catch (DiskFullException e) {
            LoggerFactory.getLogger(Operation.class).error("{} failed: {}", exchange.request().line(), e.getMessage());
            return ApiError.transport(507, "The server's disk is full: nothing was changed.").response();
        } catch (IOException e) {
            LoggerFactory.getLogger(Operation.class).error("{} failed", exchange.request().line(), e);
            return ApiError.transport(500, "The server could not keep this on its disk: nothing was changed.").response();
        }
    }
}
