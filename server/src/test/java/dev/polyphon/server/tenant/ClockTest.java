package dev.polyphon.server.tenant;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.github.bucket4j.TimeMeter;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A machine whose clock is set while the server runs, by an hour or by years, and back. */
class ClockTest {
    private static final Instant NOON = Instant.parse("2026-03-01T12:00:00Z");
    private static final Usage.Kind KIND = new Usage.Kind("acme", "base", "french");

    @TempDir
    Path folder;

    private final AtomicReference<Instant> clock = new AtomicReference<>(NOON);
    private final AtomicLong nanos = new AtomicLong();
    private Store store;
    private Tenants tenants;

    @BeforeEach
    void start() throws IOException {
        store = Store.open(folder);
        tenants = tenants();
        tenants.create("acme", (ObjectNode) new ObjectMapper().readTree("{\"limits\": {\"requests_per_minute\": 2, \"tokens_per_day\": 100}}"));
    }

    @AfterEach
    void stop() throws IOException {
        store.close();
    }

    private Tenants tenants() throws IOException {
        return new Tenants(store, clock::get, new TimeMeter() {
            @Override
            public long currentTimeNanos() {
                return nanos.get();
            }

            @Override
            public boolean isWallClockBased() {
                return false;
            }
        });
    }

    private Account acme() {
        return tenants.find("acme").orElseThrow();
    }

    private void request() {
        acme().enter();
        acme().leave();
    }

    private void generate(int tokens) {
        acme().reserve(tokens).settle(tokens);
    }

    @Test
    void ratesAreMeasured() {
        for (Duration set : List.of(Duration.ofDays(3650), Duration.ofDays(-3650))) {
            request();
            request();
            clock.set(NOON.plus(set));
            assertThatThrownBy(this::request).as("set by %s", set).isInstanceOf(Denied.class);
            clock.set(NOON);
            nanos.addAndGet(Duration.ofMinutes(1).toNanos());
        }
    }

    @Test
    void aDayIsOneDayWhateverWasSetInIt() {
        generate(90);
        for (Duration set : List.of(Duration.ofHours(-13), Duration.ofHours(-36), Duration.ofDays(-3650))) {
            clock.set(NOON.plus(set));
            assertThatThrownBy(() -> generate(11)).as("set by %s", set).isInstanceOf(Denied.class);
            assertThat(acme().tokensToday()).isEqualTo(90);
        }
        // Ahead by mistake, and set right again: the next midnight is a midnight all the same.
        clock.set(NOON.plus(Duration.ofDays(3650)));
        generate(60);
        clock.set(NOON);
        assertThat(acme().tokensToday()).isEqualTo(60);
        clock.set(NOON.plus(Duration.ofHours(12)));
        assertThat(acme().tokensToday()).isZero();
        generate(100);
    }

    @Test
    void hoursOfAClockThatWasAheadAreNotTodays() throws IOException {
        clock.set(NOON.plus(Duration.ofDays(30)));
        tenants.add(Map.of(KIND, new Usage.Counts(1, 40, 0, 40, 0, 0)), List.of());
        clock.set(NOON);
        tenants.add(Map.of(KIND, new Usage.Counts(1, 3, 0, 4, 0, 0)), List.of());
        tenants = tenants();
        assertThat(acme().tokensToday()).isEqualTo(7);
        assertThat(store.usage("acme", Instant.EPOCH, NOON.plus(Duration.ofDays(60)))).as("counted all the same").hasSize(2);
    }

    @Test
    void keysEndByTheClock() throws IOException {
        String key = tenants.createKey("acme", Role.TENANT, "test", Duration.ofHours(1)).text();
        assertThat(tenants.authenticate(key).account()).isSameAs(acme());
        clock.set(NOON.plus(Duration.ofDays(1)));
        assertThatThrownBy(() -> tenants.authenticate(key)).hasMessageContaining("is expired");
        clock.set(NOON.minus(Duration.ofDays(1)));
        assertThat(tenants.authenticate(key).account()).as("a mistake of the clock is over").isSameAs(acme());
    }
}
