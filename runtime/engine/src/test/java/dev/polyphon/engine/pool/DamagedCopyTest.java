package dev.polyphon.engine.pool;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.net.httpserver.HttpServer;
import dev.polyphon.engine.adapter.AdapterPart;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.pool.source.SourceOptions;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.Scheduling;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Copies of fetched adapters that something other than the server has changed on the disk. The hub is on this machine's loopback. */
class DamagedCopyTest {
    private static final String COMMIT = "0123456789abcdef0123456789abcdef01234567";
    private static final String FOLDER = "/org/a/resolve/" + COMMIT + "/";
    private static final String CONFIG = "adapter_config.json";
    private static final String TENSORS = "adapter_model.safetensors";

    @TempDir
    Path store;

    private final Map<String, byte[]> files = new ConcurrentHashMap<>();
    private final AtomicInteger asked = new AtomicInteger();
    private final AtomicInteger damaged = new AtomicInteger();
    private HttpServer hub;

    @FunctionalInterface
    private interface Damage {
        void to(Path folder) throws IOException;
    }

    @BeforeEach
    void start() throws IOException {
        byte[] tensors = new byte[300_000];
        new Random(1).nextBytes(tensors);
        files.put(FOLDER + CONFIG, "{\"peft_type\": \"LORA\", \"x\": \"right\"}".getBytes(StandardCharsets.UTF_8));
        files.put(FOLDER + TENSORS, tensors);
        hub = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        hub.createContext("/", exchange -> {
            try (exchange) {
                asked.incrementAndGet();
                byte[] content = files.get(exchange.getRequestURI().getPath());
                if (content == null) {
                    exchange.sendResponseHeaders(404, -1);
                } else {
                    exchange.sendResponseHeaders(200, content.length);
                    exchange.getResponseBody().write(content);
                }
            }
        });
        hub.start();
    }

    @AfterEach
    void stop() {
        hub.stop(0);
    }

    private AdapterPool open() throws IOException {
        URI here = URI.create("http://127.0.0.1:" + hub.getAddress().getPort());
        PoolOptions options = PoolOptions.of(10 << 20).withStore(store).withHostBytes(0)
                .withSources(SourceOptions.NONE.withHub(new SourceOptions.Hub(here, null)));
        return new AdapterPool("base", options, DamagedCopyTest::load, Runnable::run, new RuntimeObserver() {
            @Override
            public void adapterDamaged(String adapter) {
                damaged.incrementAndGet();
            }
        });
    }

    private static LoadedAdapter load(List<AdapterPart> parts) throws IOException {
        String text = parts.getFirst().folder().config().path("x").asText();
        return new LoadedAdapter(new AdapterWeights(text, 1, Map.of(), null, new int[0]), 1000, new Owned());
    }

    /** Loads the adapter from its files, and not from what is loaded. */
    private static String text(AdapterPool pool) {
        pool.catalog().unload(AdapterId.shared("a"));
        try (AdapterPool.Lease lease = pool.acquire("tenant", List.of(new AdapterWeight("a")), Scheduling.NO_LIMIT).join()) {
            return lease.weights().toString();
        }
    }

    private static Damage flip(String name, int at) {
        return folder -> {
            byte[] content = Files.readAllBytes(folder.resolve(name));
            content[at] ^= 1;
            Files.write(folder.resolve(name), content);
        };
    }

    @Test
    void areFetchedAgain() throws IOException {
        try (AdapterPool pool = open()) {
            pool.catalog().register(new AdapterRegistration(AdapterId.shared("a"), "base", AdapterSource.parse("hf://org/a@" + COMMIT), Map.of(), null, false));
            assertThat(text(pool)).isEqualTo("right");
            int once = asked.get();
            assertThat(text(pool)).isEqualTo("right");
            assertThat(asked).as("from the disk").hasValue(once);

            Path folder = store.resolve("files").resolve(pool.catalog().find("tenant", "a").orElseThrow().version());
            List<Damage> damages = List.of(
                    flip(TENSORS, 0), flip(TENSORS, 123_456), flip(TENSORS, 299_999),
                    flip(CONFIG, 0), flip(CONFIG, 30),
                    there -> Files.write(there.resolve(TENSORS), new byte[10]),
                    there -> Files.writeString(there.resolve("adapter_model.bin"), "another"),
                    there -> Files.delete(there.resolve(CONFIG)),
                    DiskStore::delete,
                    there -> {
                        Files.delete(there.resolve(CONFIG));
                        Files.createDirectory(there.resolve(CONFIG));
                    });
            for (int i = 0; i < damages.size(); i++) {
                damages.get(i).to(folder);
                int before = asked.get();
                assertThat(text(pool)).isEqualTo("right");
                assertThat(asked.get()).as("fetched after damage %d", i).isGreaterThan(before);
                assertThat(damaged).hasValue(i + 1);
                assertThat(folder).isDirectoryContaining("glob:**" + TENSORS).isDirectoryContaining("glob:**" + CONFIG);
                int again = asked.get();
                assertThat(text(pool)).isEqualTo("right");
                assertThat(asked).as("from the disk").hasValue(again);
                assertThat(pool.tiers().disk().bytes()).as("what is there, once").isEqualTo(DiskStore.bytes(folder));
            }
        }
    }

    @Test
    void areNotUsedWhereNothingElseIsToBeHad() throws IOException {
        Path folder;
        try (AdapterPool pool = open()) {
            pool.catalog().register(new AdapterRegistration(AdapterId.shared("a"), "base", AdapterSource.parse("hf://org/a@" + COMMIT), Map.of(), null, false));
            assertThat(text(pool)).isEqualTo("right");
            folder = store.resolve("files").resolve(pool.catalog().find("tenant", "a").orElseThrow().version());
        }
        flip(TENSORS, 5).to(folder);
        byte[] right = files.remove(FOLDER + CONFIG);
        try (AdapterPool pool = open()) {
            assertThatThrownBy(() -> text(pool)).hasMessageContaining("adapter a cannot be used").hasMessageContaining("has no adapter_config.json");
            assertThat(folder).doesNotExist();
            assertThat(pool.tiers().disk().bytes()).isZero();
            files.put(FOLDER + CONFIG, right);
            pool.catalog().load(AdapterId.shared("a"));
            assertThat(text(pool)).isEqualTo("right");
            assertThat(damaged).hasValue(1);
        }
    }
}
