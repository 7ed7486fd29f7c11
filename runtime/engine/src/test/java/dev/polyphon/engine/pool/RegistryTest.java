package dev.polyphon.engine.pool;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.RuntimeFault;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RegistryTest {
    private static final String HASH = "0123456789abcdef".repeat(4);

    @TempDir
    Path folder;

    private Path file() {
        return folder.resolve("adapters.db");
    }

    private static AdapterRegistration registration(AdapterId id, String path, String version, boolean replace) {
        return new AdapterRegistration(id, "base", new AdapterSource.Folder(Path.of(path)), Map.of("team", "x"), version, replace);
    }

    @Test
    void keepsWhatWasRegistered() throws IOException {
        AdapterId own = new AdapterId("acme", "a");
        try (Registry registry = Registry.open("base", file())) {
            registry.add(Map.of(registration(own, "/one", null, false), "LORA"));
            registry.add(Map.of(registration(AdapterId.shared("a"), "/two", null, false), "IA3"));
            registry.identify(own, registry.get(own).number(), HASH, "LORA", registry.get(own).current().source());
            registry.change(own, one -> one.withPinned(true));
            registry.change(AdapterId.shared("a"), one -> one.withDeleted(Instant.now()));
        }
        try (Registry registry = Registry.open("base", file())) {
            Registered one = registry.get(own);
            assertThat(one.pinned()).isTrue();
            assertThat(one.labels()).containsEntry("team", "x");
            assertThat(one.current().hash()).isEqualTo(HASH);
            assertThat(one.current().source().uri()).isEqualTo("/one");
            assertThat(registry.live()).hasSize(1);
            assertThat(registry.restore(AdapterId.shared("a")).current().kind()).isEqualTo("IA3");
            assertThat(registry.live()).hasSize(2);
        }
        try (Registry other = Registry.open("another", file())) {
            assertThat(other.live()).isEmpty();
        }
    }

    /** As it does when the disk is full; then the driver, which thinks that there is a transaction, has nothing to take back. */
    @Test
    void goesOnAfterATransactionThatTheDatabaseHasEndedItself() throws IOException, SQLException {
        Registry.open("base", file()).close();
        try (Connection database = DriverManager.getConnection("jdbc:sqlite:" + file()); Statement sql = database.createStatement()) {
            sql.execute("CREATE TRIGGER ends BEFORE INSERT ON version WHEN new.name = 'bad' BEGIN SELECT RAISE(ROLLBACK, 'ended'); END");
        }
        AdapterId good = AdapterId.shared("good");
        try (Registry registry = Registry.open("base", file())) {
            assertThatThrownBy(() -> registry.add(Map.of(registration(AdapterId.shared("bad"), "/bad", null, false), "LORA"))).hasMessageContaining("ended");
            registry.add(Map.of(registration(good, "/good", null, false), "LORA"));
            registry.change(good, one -> one.withPinned(true));
            assertThat(registry.live()).containsOnlyKeys(good);
        }
        try (Registry registry = Registry.open("base", file())) {
            assertThat(registry.live()).containsOnlyKeys(good);
            assertThat(registry.get(good).pinned()).isTrue();
        }
    }

    @Test
    void resolvesATenantsOwnBeforeTheSharedAndNeverAnothers() throws IOException {
        try (Registry registry = Registry.open("base", null)) {
            registry.add(Map.of(registration(new AdapterId("acme", "a"), "/one", null, false), "LORA"));
            assertThat(registry.resolve("acme", "a")).isPresent();
            assertThat(registry.resolve("other", "a")).isEmpty();
            registry.add(Map.of(registration(AdapterId.shared("a"), "/two", null, false), "LORA"));
            assertThat(registry.resolve("acme", "a").orElseThrow().id().owner()).isEqualTo("acme");
            assertThat(registry.resolve("other", "a").orElseThrow().id().isShared()).isTrue();
            assertThat(registry.resolve("../x", "../a")).isEmpty();
        }
    }

    @Test
    void registersAllOrNone() throws IOException {
        try (Registry registry = Registry.open("base", file())) {
            registry.add(Map.of(registration(AdapterId.shared("taken"), "/one", null, false), "LORA"));
            var many = new LinkedHashMap<AdapterRegistration, String>();
            many.put(registration(AdapterId.shared("new"), "/n", null, false), "LORA");
            many.put(registration(AdapterId.shared("taken"), "/n", null, false), "LORA");
            assertThatThrownBy(() -> registry.add(many)).isInstanceOf(RuntimeFault.class);
            assertThat(registry.live()).containsOnlyKeys(AdapterId.shared("taken"));
        }
    }

    @Test
    void keepsVersionsAndMovesBetweenThem() throws IOException {
        AdapterId id = AdapterId.shared("a");
        try (Registry registry = Registry.open("base", file())) {
            registry.add(Map.of(registration(id, "/one", HASH, false), "LORA"));
            registry.add(Map.of(registration(id, "/two", HASH.replace('0', 'f'), true), "LORA"));
            assertThat(registry.add(Map.of(registration(id, "/two", null, true), "LORA")).getFirst().versions()).as("the same source").hasSize(2);
            assertThat(registry.get(id).current().source().uri()).isEqualTo("/two");
            assertThat(registry.get(id).version(HASH.substring(0, 8)).orElseThrow().source().uri()).isEqualTo("/one");
            assertThat(registry.get(id).version(HASH.substring(0, 7))).isEmpty();
        }
    }

    @Test
    void isForOneProcess() throws IOException {
        try (Registry _ = Registry.open("base", file())) {
            assertThatThrownBy(() -> Registry.open("base", file())).isInstanceOf(IOException.class).hasMessageContaining("locked");
        }
    }

    /** Registers, replaces and removes in a process that is killed at any moment; what it had said was done is there, whole, and nothing else but the next. */
    @Test
    void losesNothingWhenKilled() throws Exception {
        Random random = new Random(7);
        int done = 0;
        for (int round = 0; round < 4; round++) {
            Process process = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "--enable-native-access=ALL-UNNAMED",
                    "-Xmx64m", "-cp", System.getProperty("java.class.path"), Writer.class.getName(), file().toString(), Integer.toString(done))
                    .redirectError(ProcessBuilder.Redirect.DISCARD).start();
            try (BufferedReader out = new BufferedReader(new InputStreamReader(process.getInputStream()))) {
                int steps = 5 + random.nextInt(40);
                for (int i = 0; i < steps; i++) {
                    String line = out.readLine();
                    assertThat(line).as("the writer's word").isNotNull();
                    done = Integer.parseInt(line);
                }
                Thread.sleep(0, random.nextInt(1_000_000));
                process.toHandle().destroyForcibly();
                for (String line = out.readLine(); line != null; line = out.readLine()) {
                    done = line.matches("\\d{7}") ? Integer.parseInt(line) : done;
                }
                assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
            }
            try (Registry registry = Registry.open("base", file())) {
                for (int i = 0; i <= done; i++) {
                    check(registry, i);
                }
                if (registry.live().containsKey(Writer.id(done + 1))) {
                    check(registry, done + 1);
                    done++;
                }
                assertThat(registry.live()).hasSize(done + 1);
            }
            done++;
        }
        assertThat(done).isGreaterThan(20);
    }

    private static void check(Registry registry, int i) {
        Registered one = registry.live().get(Writer.id(i));
        assertThat(one).as("adapter %s", i).isNotNull();
        assertThat(one.current().source().uri()).isEqualTo("/adapters/" + i);
        assertThat(one.labels()).containsEntry("n", Integer.toString(i));
    }

    /** Registers one adapter after the other and says so. */
    static final class Writer {
        static AdapterId id(int i) {
            return AdapterId.shared("a" + i);
        }

        public static void main(String[] args) throws IOException {
            try (Registry registry = Registry.open("base", Path.of(args[0]))) {
                for (int i = Integer.parseInt(args[1]);; i++) {
                    registry.add(Map.of(new AdapterRegistration(id(i), "base", new AdapterSource.Folder(Path.of("/adapters/" + i)),
                            Map.of("n", Integer.toString(i)), null, false), "LORA"));
                    System.out.println("%07d".formatted(i));
                }
            }
        }
    }
}
