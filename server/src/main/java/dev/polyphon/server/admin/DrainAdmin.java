package dev.polyphon.server.admin;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.openai.Admission;
import dev.polyphon.server.openai.Fields;
import dev.polyphon.server.openai.Json;
import java.time.Duration;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Takes a server out of service while it runs, and back. */
final class DrainAdmin {
    private static final Logger LOG = LoggerFactory.getLogger(DrainAdmin.class);
    private static final Set<String> WANTED = Set.of("retry_after");
    private static final int RETRY_AFTER = 30;
    private static final int LONGEST = 86_400;

    private final Admission admission;

    DrainAdmin(Admission admission) {
        this.admission = admission;
    }

    ObjectNode state(Exchange exchange) {
        ObjectNode json = JsonNodeFactory.instance.objectNode().put("object", "drain").put("draining", !admission.isOpen()).putNull("since").putNull("retry_after");
        admission.closed().ifPresent(closed -> json.put("draining", true).put("since", closed.since().getEpochSecond()).put("retry_after", closed.retryAfter().toSeconds()));
        return json.put("requests", admission.underWay());
    }

    ObjectNode begin(Exchange exchange) {
        byte[] body = exchange.request().body();
        int retryAfter = body.length == 0 ? RETRY_AFTER : new Fields(Json.object(body, 0, body.length)).only(WANTED).integer("retry_after", RETRY_AFTER, 1, LONGEST);
        admission.close(Duration.ofSeconds(retryAfter));
        LOG.info("drained by an operator: {} requests are under way, new ones are refused", admission.underWay());
        return state(exchange);
    }

    ObjectNode end(Exchange exchange) {
        admission.open();
        LOG.info("back in service by an operator");
        return state(exchange);
    }
}
