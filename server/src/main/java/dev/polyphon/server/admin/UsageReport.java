package dev.polyphon.server.admin;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Response;
import dev.polyphon.server.openai.ApiException;
import dev.polyphon.server.tenant.Caller;
import dev.polyphon.server.tenant.Tenants;
import dev.polyphon.server.tenant.Usage;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeParseException;
import java.time.temporal.ChronoUnit;
import java.util.Comparator;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** What was used, by period, tenant, model and adapter; as JSON, or as CSV for a spreadsheet or a bill. */
final class UsageReport {
    private static final Set<String> ALL = Set.of("tenant", "from", "to", "period", "format");
    private static final Set<String> OWN = Set.of("from", "to", "period", "format");
    private static final Duration SPAN = Duration.ofDays(31);
    private static final String HEADING = "period,tenant,model,adapter,requests,prompt_tokens,cached_tokens,generated_tokens,milliseconds,estimated_tokens\n";

    private final Tenants tenants;
    private final Runnable flush;

    /** @param flush has what was used until now written */
    UsageReport(Tenants tenants, Runnable flush) {
        this.tenants = tenants;
        this.flush = flush;
    }

    /** A line of a report. */
    private record Line(Instant period, Usage.Kind kind) {}

    /** Of all tenants, or the one that is named. */
    void all(Exchange exchange) {
        answer(exchange, query -> report(query, query.one("tenant")), ALL);
    }

    /** Of the tenant that asks. */
    void own(Exchange exchange) {
        String tenant = Caller.of(exchange.caller()).tenantName();
        answer(exchange, query -> report(query, tenant), OWN);
    }

    private interface Report {
        Map<Line, Usage.Counts> of(Query query) throws IOException;
    }

    private void answer(Exchange exchange, Report report, Set<String> parameters) {
        if (!new Query(exchange.request().query()).all("format").contains("csv")) {
            Operation operation = _ -> json(report.of(Query.of(exchange, parameters)));
            operation.handler().handle(exchange);
            return;
        }
        exchange.offload(() -> {
            try {
                exchange.respond(new Response(200, "text/csv; charset=utf-8", csv(report.of(Query.of(exchange, parameters))), Map.of()));
            } catch (ApiException e) {
                exchange.respond(e.error().response());
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
    }

    private Map<Line, Usage.Counts> report(Query query, String tenant) throws IOException {
        String format = query.one("format");
        if (format != null && !format.equals("csv") && !format.equals("json")) {
            throw AdaptersAdmin.invalid("format", "'format' must be json or csv, found '" + format + "'.");
        }
        Instant to = time(query, "to", tenants.now().plusSeconds(1));
        Instant from = time(query, "from", to.minus(SPAN));
        String period = query.one("period") == null ? "day" : query.one("period");
        begin(to, period, from);
        flush.run();
        var lines = new TreeMap<Line, Usage.Counts>(Comparator.comparing(Line::period).thenComparing(line -> line.kind().tenant())
                .thenComparing(line -> line.kind().model()).thenComparing(line -> line.kind().adapter()));
        for (Usage usage : tenants.usage(tenant, from, to)) {
            lines.merge(new Line(begin(usage.from(), period, from), usage.kind()), usage.counts(), Usage.Counts::plus);
        }
        return lines;
    }

    private static Instant begin(Instant hour, String period, Instant from) {
        ZonedDateTime time = hour.atZone(ZoneOffset.UTC);
        return switch (period) {
            case "hour" -> hour;
            case "day" -> time.truncatedTo(ChronoUnit.DAYS).toInstant();
            case "month" -> time.truncatedTo(ChronoUnit.DAYS).withDayOfMonth(1).toInstant();
            case "total" -> from;
            default -> throw AdaptersAdmin.invalid("period", "'period' must be hour, day, month or total, found '" + period + "'.");
        };
    }

    private static Instant time(Query query, String name, Instant otherwise) {
        String text = query.one(name);
        if (text == null) {
            return otherwise;
        }
        try {
            return text.contains("T") ? Instant.parse(text) : LocalDate.parse(text).atStartOfDay().toInstant(ZoneOffset.UTC);
        } catch (DateTimeParseException e) {
            throw AdaptersAdmin.invalid(name, "'" + name + "' must be a day or a time in UTC, for example 2026-01-31 or 2026-01-31T12:00:00Z, found '" + text + "'.");
        }
    }

    private static ObjectNode json(Map<Line, Usage.Counts> lines) {
        ObjectNode json = JsonNodeFactory.instance.objectNode().put("object", "list");
        ArrayNode data = json.putArray("data");
        lines.forEach((line, counts) -> data.addObject()
                .put("object", "usage")
                .put("period", line.period.getEpochSecond())
                .put("tenant", line.kind.tenant())
                .put("model", line.kind.model())
                .put("adapter", line.kind.adapter())
                .put("requests", counts.requests())
                .put("prompt_tokens", counts.promptTokens())
                .put("cached_tokens", counts.cachedTokens())
                .put("generated_tokens", counts.generatedTokens())
                .put("milliseconds", counts.millis())
                .put("estimated_tokens", counts.estimatedTokens()));
        return json;
    }

    /** No name in it has a comma or a quote: neither tenants' nor adapters' may, and a model's is put in quotes. */
    private static byte[] csv(Map<Line, Usage.Counts> lines) {
        var text = new StringBuilder(HEADING);
        lines.forEach((line, counts) -> text.append(line.period).append(',').append(line.kind.tenant()).append(",\"").append(line.kind.model().replace("\"", "\"\""))
                .append("\",").append(line.kind.adapter()).append(',').append(counts.requests()).append(',').append(counts.promptTokens()).append(',')
                .append(counts.cachedTokens()).append(',').append(counts.generatedTokens()).append(',').append(counts.millis()).append(',')
                .append(counts.estimatedTokens()).append('\n'));
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }
}
