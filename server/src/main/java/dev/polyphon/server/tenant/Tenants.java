package dev.polyphon.server.tenant;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.server.tenant.Denied.Reason;
import io.github.bucket4j.TimeMeter;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The tenants and their keys. Looking them up takes no lock and no disk; a change is on the disk when its method returns, and holds from then on. What is
 * wrong with a change is a {@link TenantFault}, or a {@link RuntimeFault} of kind {@code INVALID} that names the field.
 */
public final class Tenants {
    private static final int LONGEST_LABEL = 200;

    /** Compared with when there is no key of that name, so that it takes as long as when there is. */
    private static final SecretHash NOBODYS = SecretHash.of("");

    private static final String BAD_KEY = "Incorrect API key provided: %s. A key is made by an operator of this server.";

    private final Store store;
    private final InstantSource clock;
    private final TimeMeter time;
    private final Map<String, Account> accounts = new ConcurrentHashMap<>();
    private final Map<String, ApiKey> keys = new ConcurrentHashMap<>();

    /** A key and, this once, its text. */
    public record NewKey(ApiKey key, String text) {}

    public Tenants(Store store) throws IOException {
        this(store, InstantSource.system(), TimeMeter.SYSTEM_NANOTIME);
    }

    Tenants(Store store, InstantSource clock, TimeMeter time) throws IOException {
        this.store = store;
        this.clock = clock;
        this.time = time;
        Map<String, Long> today = store.tokensOf(LocalDate.ofInstant(clock.instant(), ZoneOffset.UTC));
        for (Tenant tenant : store.tenants()) {
            accounts.put(tenant.name(), account(tenant, today.getOrDefault(tenant.name(), 0L)));
        }
        store.keys().forEach(key -> keys.put(key.id(), key));
    }

    private Account account(Tenant tenant, long tokensToday) {
        return new Account(tenant, clock, time, tokensToday);
    }

    /** Whose key this is; throws {@link Denied} for one that does not open. */
    Caller authenticate(String text) {
        KeyText sent = KeyText.parse(text).orElseThrow(() -> new Denied(Reason.BAD_KEY, String.format(BAD_KEY, shown(text))));
        ApiKey key = keys.get(sent.id());
        boolean matches = (key == null ? NOBODYS : key.hash()).isOf(sent.secret());
        if (key == null || !matches) {
            throw new Denied(Reason.BAD_KEY, String.format(BAD_KEY, shown(text)));
        }
        if (!key.active(clock.instant())) {
            throw new Denied(Reason.BAD_KEY, "The API key " + sent + " is " + key.state(clock.instant()) + ".");
        }
        return caller(key.tenant(), key.role(), key.id());
    }

    /** A tenant's caller; throws {@link Denied} when there is no such tenant, or it is off. */
    Caller caller(String tenant, Role role, String key) {
        Account account = accounts.get(tenant);
        if (account == null || !account.tenant().enabled()) {
            throw new Denied(Reason.FORBIDDEN, "The tenant '" + tenant + "' is " + (account == null ? "not known here" : "switched off") + ".");
        }
        return new Caller(account, role, key);
    }

    /** The beginning and end of what was sent, as OpenAI shows keys: never enough to use it. */
    private static String shown(String text) {
        return text.length() < 16 ? "***" : (text.substring(0, 6) + "***" + text.substring(text.length() - 3)).replaceAll("[^A-Za-z0-9_.*-]", "?");
    }

    /** The live state of a tenant, if there is such a one. */
    public Optional<Account> find(String tenant) {
        return Optional.ofNullable(accounts.get(tenant));
    }

    public Account get(String tenant) {
        return find(tenant).orElseThrow(() -> TenantFault.unknown("there is no tenant '" + tenant + "'"));
    }

    /** All tenants by name. */
    public List<Account> all() {
        return accounts.values().stream().sorted(Comparator.comparing(account -> account.tenant().name())).toList();
    }

    public synchronized Account create(String name, ObjectNode fields) throws IOException {
        Tenant tenant = TenantJson.apply(Tenant.named(name, clock.instant()), fields);
        if (accounts.containsKey(name)) {
            throw TenantFault.conflict("there is a tenant '" + name + "' already");
        }
        store.write(tenant);
        Account account = account(tenant, 0);
        accounts.put(name, account);
        return account;
    }

    public synchronized Account change(String name, ObjectNode fields) throws IOException {
        Account account = get(name);
        Tenant changed = TenantJson.apply(account.tenant(), fields);
        store.write(changed);
        account.tenant(changed);
        return account;
    }

    /** Removes a tenant with all its keys. */
    public synchronized void remove(String name) throws IOException {
        get(name);
        store.remove(name);
        accounts.remove(name);
        keys.values().removeIf(key -> key.tenant().equals(name));
    }

    /** A tenant's keys, the newest first. */
    public List<ApiKey> keys(String tenant) {
        get(tenant);
        return keys.values().stream().filter(key -> key.tenant().equals(tenant)).sorted(Comparator.comparing(ApiKey::created).reversed().thenComparing(ApiKey::id)).toList();
    }

    public ApiKey key(String id) {
        return Optional.ofNullable(keys.get(id)).orElseThrow(() -> TenantFault.unknown("there is no key '" + id + "'"));
    }

    /** Whether there is a key for operators that opens. */
    public boolean hasOperator() {
        return keys.values().stream().anyMatch(key -> key.role() == Role.OPERATOR && key.active(clock.instant()));
    }

    /** @param life how long the key opens; null for ever */
    public synchronized NewKey createKey(String tenant, Role role, String label, Duration life) throws IOException {
        get(tenant);
        NewKey made = fresh(tenant, role, label, life == null ? null : clock.instant().plus(life));
        keep(List.of(made.key));
        return made;
    }

    /**
     * Makes a key in another's place, which goes on to open for a while, so that its users can change over without a break.
     *
     * @param overlap how long the old one opens; it ends earlier when it would anyway
     */
    public synchronized NewKey rotate(String id, Duration overlap) throws IOException {
        ApiKey old = key(id);
        Instant now = clock.instant();
        if (!old.active(now)) {
            throw TenantFault.conflict("the key '" + id + "' is " + old.state(now) + " and cannot be rotated");
        }
        Duration life = old.expires() == null ? null : Duration.between(old.created(), old.expires());
        NewKey made = fresh(old.tenant(), old.role(), old.label(), life == null ? null : now.plus(life));
        Instant end = now.plus(overlap);
        keep(List.of(made.key, old.expires() != null && old.expires().isBefore(end) ? old : old.expiring(end)));
        return made;
    }

    /** Ends a key, at once and for good. */
    public synchronized ApiKey revoke(String id) throws IOException {
        ApiKey key = key(id);
        ApiKey revoked = key.revoked() != null ? key : key.revoked(clock.instant());
        keep(List.of(revoked));
        return revoked;
    }

    private NewKey fresh(String tenant, Role role, String label, Instant expires) {
        if (label.length() > LONGEST_LABEL) {
            throw RuntimeFault.invalid("label", "'label' may have " + LONGEST_LABEL + " characters, found " + label.length());
        }
        KeyText text = KeyText.fresh();
        return new NewKey(new ApiKey(text.id(), tenant, role, SecretHash.of(text.secret()), label, clock.instant(), expires, null), text.text());
    }

    private void keep(List<ApiKey> changed) throws IOException {
        store.write(changed);
        changed.forEach(key -> keys.put(key.id(), key));
    }

    public Instant now() {
        return clock.instant();
    }

    /** Usage by hour. @param tenant null for all */
    public List<Usage> usage(String tenant, Instant from, Instant to) throws IOException {
        return store.usage(tenant, from, to);
    }

    /** What operators did, the newest first, each with a number to go on below. */
    public List<Map.Entry<Long, AuditEntry>> audit(long before, int limit) throws IOException {
        return store.audit(before, limit);
    }

    void add(Map<Usage.Kind, Usage.Counts> used, List<AuditEntry> done) throws IOException {
        store.add(clock.instant(), used, new ArrayList<>(done));
    }
}
