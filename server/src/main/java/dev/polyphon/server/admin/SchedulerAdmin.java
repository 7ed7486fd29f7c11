package dev.polyphon.server.admin;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.SchedulerState;
import dev.polyphon.server.http.Exchange;
import java.util.Set;

/** What the scheduler holds: the batch, the queue, the cache's blocks, and what each has had of the machine. */
final class SchedulerAdmin {
    private static final Set<String> QUERY = Set.of("limit");

    private final Runtime runtime;

    SchedulerAdmin(Runtime runtime) {
        this.runtime = runtime;
    }

    ObjectNode state(Exchange exchange) {
        int limit = Query.of(exchange, QUERY).limit();
        SchedulerState state = runtime.scheduler().join();
        ObjectNode json = JsonNodeFactory.instance.objectNode().put("object", "scheduler").put("running", state.running()).put("waiting", state.waiting())
                .put("kv_blocks", state.kvBlocks()).put("kv_blocks_used", state.kvBlocksUsed()).put("kv_blocks_cached", state.kvBlocksCached())
                .put("total", state.counters().size());
        ArrayNode counters = json.putArray("counters");
        state.counters().stream().limit(limit).forEach(counter -> {
            ObjectNode one = counters.addObject().put("tenant", counter.tenant());
            counter.adapters().forEach(one.putArray("adapters")::add);
            one.put("share", counter.share()).put("served", counter.served()).put("running", counter.running()).put("waiting", counter.waiting());
        });
        return json;
    }
}
