package dev.polyphon.server.tenant;

import static dev.polyphon.server.Eventually.eventually;
import static dev.polyphon.server.tenant.TenantServer.bearer;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.TokenEvent;
import dev.polyphon.runtime.TokenSink;
import io.github.bucket4j.TimeMeter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.time.InstantSource;
import java.time.LocalDate;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What was used is counted, once, and kept. */
class UsageTest {
    private static final Usage.Kind KIND = new Usage.Kind("acme", "base", "french");

    private static final Instant END = Instant.parse("2027-01-01T00:00:00Z");

    @TempDir
    private Path folder;

    @Test
    void countsByTenantAdapterAndPeriod() {
        try (var server = new TenantServer(folder)) {
            String acme = server.tenant("acme", "");
            String rival = server.tenant("rival", "");
            server.complete(acme, "french", "a b c", 3);
            server.complete(acme, "french", "a b c", 2);
            server.complete(acme, "german", "a", 1);
            server.complete(rival, "french", "a", 1);
            var all = server.admin("GET", "usage", "").json().path("data");
            assertThat(all).hasSize(3);
            assertThat(all.at("/0/tenant").asText()).isEqualTo("acme");
            assertThat(all.at("/0/adapter").asText()).isEqualTo("french");
            assertThat(all.at("/0/requests").asInt()).isEqualTo(2);
            assertThat(all.at("/0/prompt_tokens").asInt()).isEqualTo(6);
            assertThat(all.at("/0/generated_tokens").asInt()).isEqualTo(5);
            assertThat(all.at("/0/estimated_tokens").asInt()).isZero();
            assertThat(server.admin("GET", "usage?tenant=rival&period=total", "").json().path("data")).hasSize(1);
            assertThat(server.admin("GET", "usage?to=2020-01-01", "").json().path("data")).isEmpty();
            var own = server.http.get("/v1/usage", bearer(rival)).json().path("data");
            assertThat(own).hasSize(1);
            assertThat(own.at("/0/tenant").asText()).isEqualTo("rival");
            assertThat(server.http.get("/v1/usage?tenant=acme", bearer(rival)).status()).isEqualTo(400);
            String csv = server.admin("GET", "usage?format=csv&period=month", "").body();
            assertThat(csv.lines().toList()).hasSize(4).anySatisfy(line -> assertThat(line).contains(",acme,\"org/base-135m\",french,2,6,0,5,"));
            for (String bad : new String[] {"from=x", "period=week", "format=xml", "colour=red"}) {
                assertThat(server.admin("GET", "usage?" + bad, "").error().path("param").asText()).isEqualTo(bad.substring(0, bad.indexOf('=')));
            }
        }
    }

    @Test
    void countsWhatWasGeneratedBeforeAFailureOrACancel() throws Exception {
        try (var server = new TenantServer(folder)) {
            String acme = server.tenant("acme", "");
            server.http.runtime.manual = true;
            var failing = CompletableFuture.supplyAsync(() -> server.complete(acme, "french", "a b c", 9));
            var held = server.http.runtime.held.take();
            held.sink().started(3, 2);
            held.token(0, 1, "x");
            held.token(0, 1, "y");
            held.sink().failed(RuntimeFault.of(RuntimeFault.Kind.INTERNAL, "broken"));
            assertThat(failing.join().status()).isEqualTo(500);
            server.http.runtime.fault = RuntimeFault.of(RuntimeFault.Kind.INTERNAL, "never began");
            server.complete(acme, "french", "a b c", 9);
            var usage = server.admin("GET", "usage", "").json().at("/data/0");
            assertThat(usage.path("requests").asInt()).isEqualTo(1);
            assertThat(usage.path("prompt_tokens").asInt()).isEqualTo(3);
            assertThat(usage.path("cached_tokens").asInt()).isEqualTo(2);
            assertThat(usage.path("generated_tokens").asInt()).isEqualTo(2);
        }
    }

    private static Tenants tenants(Store store, Instant now) throws IOException {
        return new Tenants(store, InstantSource.fixed(now), TimeMeter.SYSTEM_NANOTIME);
    }

    /** The database as a process leaves it that is killed: a copy of its files while it is open. */
    private Path killed(Path store) throws IOException {
        Path copy = Files.createDirectories(folder.resolve("copy"));
        try (var files = Files.list(store)) {
            for (Path file : files.toList()) {
                Files.copy(file, copy.resolve(file.getFileName()), StandardCopyOption.REPLACE_EXISTING);
            }
        }
        return copy;
    }

    @Test
    void aKillLosesASecondAtMostWhichIsEstimated() throws IOException {
        Instant now = Instant.parse("2026-03-01T10:20:30Z");
        Path copy;
        try (Store store = Store.open(folder.resolve("store"))) {
            Tenants tenants = tenants(store, now);
            var meter = new UsageMeter(tenants::add);
            meter.of(KIND).started(10, 4);
            meter.of(KIND).generated(5);
            meter.write();
            meter.of(KIND).generated(7);
            meter.write();
            meter.of(KIND).generated(100);
            copy = killed(folder.resolve("store"));
        }
        for (int start = 0; start < 2; start++) {
            try (Store store = Store.open(copy)) {
                List<Usage> usage = store.usage("acme", Instant.EPOCH, END);
                assertThat(usage).as("start " + start).hasSize(1);
                assertThat(usage.getFirst().counts()).isEqualTo(new Usage.Counts(1, 10, 4, 12, 0, 7));
                assertThat(usage.getFirst().from()).isEqualTo(Instant.parse("2026-03-01T10:00:00Z"));
                assertThat(store.tokensOf(LocalDate.parse("2026-03-01"))).containsEntry("acme", 29L);
            }
        }
    }

    @Test
    void aKillWhenNothingRanLosesNothing() throws IOException {
        Path copy;
        try (Store store = Store.open(folder.resolve("store"))) {
            var meter = new UsageMeter(tenants(store, Instant.parse("2026-03-01T10:20:30Z"))::add);
            meter.of(KIND).started(10, 4);
            meter.write();
            meter.write();
            copy = killed(folder.resolve("store"));
        }
        try (Store store = Store.open(copy)) {
            assertThat(store.usage(null, Instant.EPOCH, END).getFirst().counts()).isEqualTo(new Usage.Counts(1, 10, 4, 0, 0, 0));
        }
    }

    @Test
    void aDiskThatFailsLosesNothing() throws IOException {
        try (Store store = Store.open(folder)) {
            Tenants tenants = tenants(store, Instant.parse("2026-03-01T10:20:30Z"));
            var full = new AtomicBoolean(true);
            var meter = new UsageMeter((used, done) -> {
                if (full.get()) {
                    throw new IOException("no space left on device");
                }
                tenants.add(used, done);
            });
            meter.of(KIND).started(10, 0);
            meter.audit(new AuditEntry(tenants.now(), "acme", "key", "remote", "action", 200));
            meter.write();
            meter.of(KIND).generated(5);
            meter.write();
            assertThat(store.usage(null, Instant.EPOCH, END)).isEmpty();
            assertThat(meter.behind()).isPositive();
            full.set(false);
            meter.write();
            assertThat(meter.behind()).isZero();
            meter.write();
            assertThat(store.usage(null, Instant.EPOCH, END).getFirst().counts()).isEqualTo(new Usage.Counts(1, 10, 0, 5, 0, 0));
            assertThat(store.audit(Long.MAX_VALUE, 10)).hasSize(1);
        }
    }

    /** As it does when the disk is full; then the driver, which thinks that there is a transaction, has nothing to take back. */
    @Test
    void aTransactionThatTheDatabaseHasEndedItselfLeavesNothing() throws IOException, SQLException {
        Store.open(folder).close();
        try (Connection database = DriverManager.getConnection("jdbc:sqlite:" + folder.resolve("tenants.db")); Statement sql = database.createStatement()) {
            sql.execute("CREATE TRIGGER ends BEFORE INSERT ON audit WHEN new.action = 'bad' BEGIN SELECT RAISE(ROLLBACK, 'ended'); END");
        }
        Instant now = Instant.parse("2026-03-01T10:20:30Z");
        var five = Map.of(KIND, new Usage.Counts(1, 10, 0, 5, 0, 0));
        try (Store store = Store.open(folder)) {
            assertThatThrownBy(() -> store.add(now, five, List.of(new AuditEntry(now, "acme", "key", "remote", "bad", 200)))).hasMessageContaining("ended");
            assertThat(store.usage(null, Instant.EPOCH, END)).isEmpty();
            for (int i = 0; i < 2; i++) {
                store.add(now, five, List.of(new AuditEntry(now, "acme", "key", "remote", "good", 200)));
            }
            assertThatThrownBy(() -> store.add(now, five, List.of(new AuditEntry(now, "acme", "key", "remote", "bad", 200)))).hasMessageContaining("ended");
            assertThat(store.usage(null, Instant.EPOCH, END).getFirst().counts()).isEqualTo(new Usage.Counts(2, 20, 0, 10, 0, 0));
            assertThat(store.audit(Long.MAX_VALUE, 10)).hasSize(2);
        }
    }

    @Test
    void oneServerAtATime() throws IOException {
        try (Store store = Store.open(folder)) {
            assertThatThrownBy(() -> Store.open(folder)).isInstanceOf(IOException.class).hasMessageContaining("a running server has it");
            assertThat(store.tenants()).isEmpty();
        }
    }

    @Test
    void theWriterWritesByItself() throws IOException {
        try (Store store = Store.open(folder)) {
            var meter = new UsageMeter(tenants(store, Instant.parse("2026-03-01T10:20:30Z"))::add);
            meter.start();
            meter.of(KIND).started(10, 0);
            eventually("usage is written", () -> {
                try {
                    return !store.usage(null, Instant.EPOCH, END).isEmpty();
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
            meter.close();
        }
    }

    @Test
    void choicesCountWhatEndedThemToo() {
        var totals = new UsageMeter((_, _) -> {}).of(KIND);
        var account = new Account(Tenant.named("acme", Instant.EPOCH), InstantSource.system(), TimeMeter.SYSTEM_NANOTIME, 0);
        var sink = new MeteredSink(new Quiet(), () -> totals, account.reserve(100), 2);
        sink.started(3, 0);
        sink.token(new TokenEvent(0, 1, "a", null));
        sink.token(new TokenEvent(1, 1, "a", null));
        sink.finished(0, "", FinishReason.STOP, 2);
        sink.finished(1, "", FinishReason.LENGTH, 1);
        assertThat(account.tokensToday()).isEqualTo(6);
    }

    /** Hears and says nothing. */
    private static final class Quiet implements TokenSink {
        @Override
        public void started(int promptTokens, int cachedTokens) {}

        @Override
        public void token(TokenEvent event) {}

        @Override
        public void finished(int choice, String text, FinishReason reason, int generatedTokens) {}

        @Override
        public void failed(RuntimeFault fault) {}
    }
}
