package dev.polyphon.server.admin;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.openai.Fields;
import dev.polyphon.server.openai.Json;
import dev.polyphon.server.tenant.Account;
import dev.polyphon.server.tenant.ApiKey;
import dev.polyphon.server.tenant.AuditEntry;
import dev.polyphon.server.tenant.Role;
import dev.polyphon.server.tenant.TenantJson;
import dev.polyphon.server.tenant.Tenants;
import java.io.IOException;
import java.time.Duration;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/** Tenants, their keys, and what operators did. A key's text is in the answer that makes it, and nowhere else. */
final class TenantsAdmin {
    private static final Set<String> KEY = Set.of("role", "label", "expires_in");
    private static final Set<String> ROTATION = Set.of("overlap");
    private static final Set<String> AUDIT = Set.of("limit", "before");
    private static final long OVERLAP = Duration.ofHours(24).toSeconds();
    private static final long LONGEST = Duration.ofDays(36_500).toSeconds();

    private final Tenants tenants;

    TenantsAdmin(Tenants tenants) {
        this.tenants = tenants;
    }

    ObjectNode list(Exchange exchange) {
        return listing(tenants.all().stream().map(TenantsAdmin::json));
    }

    ObjectNode create(Exchange exchange) throws IOException {
        ObjectNode body = body(exchange);
        String name = new Fields(body).requiredText("name");
        body.remove("name");
        return json(tenants.create(name, body));
    }

    ObjectNode show(Exchange exchange) {
        return json(tenants.get(name(exchange)));
    }

    ObjectNode change(Exchange exchange) throws IOException {
        return json(tenants.change(name(exchange), body(exchange)));
    }

    ObjectNode remove(Exchange exchange) throws IOException {
        tenants.remove(name(exchange));
        return JsonNodeFactory.instance.objectNode().put("object", "tenant.deleted").put("name", name(exchange)).put("deleted", true);
    }

    ObjectNode keys(Exchange exchange) {
        return listing(tenants.keys(name(exchange)).stream().map(this::json));
    }

    ObjectNode createKey(Exchange exchange) throws IOException {
        Fields fields = new Fields(body(exchange)).only(KEY);
        String label = fields.text("label");
        long life = fields.integer("expires_in", 0, 1, LONGEST);
        return json(tenants.createKey(name(exchange), role(fields.text("role")), label == null ? "" : label, life == 0 ? null : Duration.ofSeconds(life)));
    }

    ObjectNode showKey(Exchange exchange) {
        return json(tenants.key(exchange.parameter("id")));
    }

    ObjectNode rotate(Exchange exchange) throws IOException {
        boolean plain = exchange.request().body().length == 0;
        long overlap = plain ? OVERLAP : new Fields(body(exchange)).only(ROTATION).integer("overlap", OVERLAP, 0, LONGEST);
        return json(tenants.rotate(exchange.parameter("id"), Duration.ofSeconds(overlap)));
    }

    ObjectNode revoke(Exchange exchange) throws IOException {
        return json(tenants.revoke(exchange.parameter("id")));
    }

    ObjectNode audit(Exchange exchange) throws IOException {
        Query query = Query.of(exchange, AUDIT);
        String before = query.one("before");
        if (before != null && !before.matches("[0-9]{1,18}")) {
            throw AdaptersAdmin.invalid("before", "'before' must be an entry's number, found '" + before + "'.");
        }
        return listing(tenants.audit(before == null ? Long.MAX_VALUE : Long.parseLong(before), query.limit()).stream().map(TenantsAdmin::json));
    }

    private static String name(Exchange exchange) {
        return exchange.parameter("name");
    }

    private static Role role(String text) {
        return text == null ? Role.TENANT : Stream.of(Role.values()).filter(role -> role.text().equals(text)).findFirst()
                .orElseThrow(() -> AdaptersAdmin.invalid("role", "'role' must be tenant, monitor or operator, found '" + text + "'."));
    }

    private static ObjectNode body(Exchange exchange) {
        byte[] body = exchange.request().body();
        return Json.object(body, 0, body.length);
    }

    private static ObjectNode listing(Stream<ObjectNode> entries) {
        ObjectNode json = JsonNodeFactory.instance.objectNode().put("object", "list");
        ArrayNode data = json.putArray("data");
        entries.forEach(data::add);
        return json;
    }

    private static ObjectNode json(Account account) {
        ObjectNode json = TenantJson.write(account.tenant());
        json.putObject("now").put("concurrent_requests", account.running()).put("connections", account.connections()).put("tokens_today", account.tokensToday());
        return json;
    }

    private ObjectNode json(Tenants.NewKey made) {
        return json(made.key()).put("key", made.text());
    }

    private ObjectNode json(ApiKey key) {
        ObjectNode json = JsonNodeFactory.instance.objectNode()
                .put("object", "key")
                .put("id", key.id())
                .put("tenant", key.tenant())
                .put("role", key.role().text())
                .put("label", key.label())
                .put("state", key.state(tenants.now()))
                .put("created", key.created().getEpochSecond());
        json.put("expires", key.expires() == null ? null : key.expires().getEpochSecond());
        return json.put("revoked", key.revoked() == null ? null : key.revoked().getEpochSecond());
    }

    private static ObjectNode json(Map.Entry<Long, AuditEntry> numbered) {
        AuditEntry entry = numbered.getValue();
        return JsonNodeFactory.instance.objectNode()
                .put("object", "audit")
                .put("number", numbered.getKey())
                .put("time", entry.time().getEpochSecond())
                .put("tenant", entry.tenant())
                .put("key", entry.key())
                .put("remote", entry.remote())
                .put("action", entry.action())
                .put("status", entry.status());
    }
}
