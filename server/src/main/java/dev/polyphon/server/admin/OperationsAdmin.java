package dev.polyphon.server.admin;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterOperation;
import dev.polyphon.runtime.AdapterOperation.Outcome;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.TextCodec;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.openai.Fields;
import dev.polyphon.server.openai.Json;
import java.nio.file.Files;
import java.util.regex.Pattern;

/**
 * Operations on registered adapters: one is asked for, answers at once with its id, and can be looked at and cancelled under that while it runs. Names are
 * those of the owner that is given, its own adapters before shared ones; the result belongs to it.
 */
final class OperationsAdmin {
    private static final Pattern FILE_NAME = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._-]{0,199}");

    private final Runtime runtime;
    private final AdapterCatalog catalog;
    private final OperationQueue queue;

    OperationsAdmin(Runtime runtime, OperationQueue queue) {
        this.runtime = runtime;
        this.catalog = runtime.adapters();
        this.queue = queue;
    }

    ObjectNode start(Exchange exchange) {
        byte[] body = exchange.request().body();
        Fields fields = new Fields(Json.object(body, 0, body.length));
        AdapterOperation operation = OperationJson.read(fields, queue.calibrationTokens());
        String owner = fields.text("owner");
        OperationRun run = new OperationRun(operation, owner == null ? AdapterId.SHARED : owner, fields.text("to"), fields.flag("replace", false),
                AdaptersAdmin.labels(fields));
        check(run);
        queue.submit(run);
        return run.json();
    }

    /** What can be told before it runs is told at once. */
    private void check(OperationRun run) {
        for (AdapterWeight adapter : run.operation.adapters()) {
            if (catalog.find(run.owner, adapter.name()).isEmpty()) {
                throw AdaptersAdmin.refused(404, null, "adapter_not_found", "Adapter " + adapter.name() + " is not registered.");
            }
        }
        if (run.operation instanceof AdapterOperation.AlignMerge align) {
            checkCalibration(run, align);
        }
        if (run.operation.outcome() == Outcome.REPORT) {
            if (run.to != null) {
                throw AdaptersAdmin.invalid("to", "This operation makes nothing that could be called '" + run.to + "'.");
            }
            return;
        }
        if (queue.folder() == null) {
            throw AdaptersAdmin.refused(403, null, "no_folder", "Nothing can be written: the setting 'operations.folder' names no folder.");
        }
        if (run.to == null) {
            throw Fields.missing("to");
        }
        if (run.operation.outcome() == Outcome.MODEL) {
            if (!FILE_NAME.matcher(run.to).matches()) {
                throw AdaptersAdmin.invalid("to", "'to' must be the name of a file or folder, of ASCII letters, digits and . _ -, found '" + run.to + "'.");
            }
            if (Files.exists(queue.folder().resolve(run.to))) {
                throw AdaptersAdmin.refused(409, "to", "conflict", "There is already something named '" + run.to + "' in the folder of the operations.");
            }
        } else if (runtime.model(run.resultId().name()).isPresent()) {
            throw AdaptersAdmin.refused(409, "to", "conflict", "'" + run.to + "' is the name of a base model.");
        } else if (!run.replace && catalog.find(run.owner, run.to).filter(info -> info.id().equals(run.resultId())).isPresent()) {
            throw AdaptersAdmin.refused(409, "to", "conflict", "An adapter named '" + run.to + "' is already registered.");
        }
    }

    private void checkCalibration(OperationRun run, AdapterOperation.AlignMerge align) {
        if (align.calibration().isEmpty()) {
            return;
        }
        String base = catalog.find(run.owner, align.first().name()).orElseThrow().base();
        TextCodec text = runtime.text(base).orElseThrow(() -> AdaptersAdmin.refused(409, null, "conflict", "The base of " + align.first().name() + " is not served."));
        long tokens = align.calibration().stream().mapToLong(prompt -> text.encode(prompt).length).sum();
        if (tokens > queue.calibrationTokens()) {
            throw AdaptersAdmin.invalid("calibration", "'calibration' has " + tokens + " tokens; at most " + queue.calibrationTokens()
                    + " are run (setting operations.calibrationTokens).");
        }
    }

    ObjectNode list(Exchange exchange) {
        ObjectNode json = AdapterJson.MAPPER.createObjectNode().put("object", "list");
        ArrayNode data = json.putArray("data");
        queue.list().forEach(run -> data.add(run.json()));
        return json;
    }

    ObjectNode show(Exchange exchange) {
        return find(exchange).json();
    }

    ObjectNode cancel(Exchange exchange) {
        OperationRun run = find(exchange);
        run.cancel();
        return run.json();
    }

    private OperationRun find(Exchange exchange) {
        String id = exchange.parameter("id");
        return queue.find(id).orElseThrow(() -> AdaptersAdmin.refused(404, null, "operation_not_found", "There is no operation '" + id + "'."));
    }
}
