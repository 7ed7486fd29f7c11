package dev.polyphon.engine.pool;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterPart;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterQuery;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.Scheduling;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;

/** A pool over a loader that makes nothing, on an executor that the test turns by hand. */
class AdapterPoolTest {
    private static final int ADAPTERS = 5;
    /** Of an adapter, on disk as in memory. */
    private static final int BYTES = 64;
    private static final String CONFIG = "{\"peft_type\": \"LORA\", \"x\": \"%s\"}";

    private final Deque<Runnable> tasks = new ArrayDeque<>();
    /** Those in memory. */
    private final Set<AdapterWeights> open = Collections.newSetFromMap(new IdentityHashMap<>());
    private int loads;

    private LoadedAdapter load(List<AdapterPart> parts) throws IOException {
        loads++;
        String text = parts.getFirst().folder().config().path("x").asText();
        if (text.startsWith("bad")) {
            throw new AdapterFault("tensor x is bad");
        }
        Owned memory = new Owned();
        AdapterWeights weights = new AdapterWeights(text, 1, Map.of(), null, new int[0]);
        open.add(weights);
        memory.own(() -> open.remove(weights));
        return new LoadedAdapter(weights, BYTES, memory);
    }

    private AdapterPool pool(long budget) throws IOException {
        return pool(budget, null);
    }

    private AdapterPool pool(long budget, Path store) throws IOException {
        return pool(PoolOptions.of(budget).withStore(store).withRecheck(Duration.ZERO));
    }

    private AdapterPool pool(PoolOptions options) throws IOException {
        return new AdapterPool("base", options, this::load, tasks::add, new RuntimeObserver() {});
    }

    private void turn() {
        while (!tasks.isEmpty()) {
            tasks.poll().run();
        }
    }

    private static Path write(Path folder, String content) throws IOException {
        Files.createDirectories(folder);
        Files.writeString(folder.resolve("adapter_config.json"), ("%-" + BYTES + "s").formatted(CONFIG.formatted(content)));
        return folder;
    }

    private static void register(AdapterCatalog catalog, Path root, int count) throws IOException {
        for (int i = 0; i < count; i++) {
            catalog.register(AdapterRegistration.folder("a" + i, "base", write(root.resolve("a" + i), "content " + i)));
        }
    }

    private static CompletableFuture<AdapterPool.Lease> acquire(AdapterPool pool, String name) {
        return pool.acquire("tenant", List.of(new AdapterWeight(name)), Scheduling.NO_LIMIT);
    }

    private static RuntimeFault fault(CompletableFuture<?> future) {
        assertThat(future).isCompletedExceptionally();
        return AdapterPool.fault(future.exceptionNow());
    }

    private static Stream<CompletableFuture<AdapterPool.Lease>> succeeded(List<CompletableFuture<AdapterPool.Lease>> held) {
        return List.copyOf(held).stream().filter(lease -> lease.isDone() && !lease.isCompletedExceptionally());
    }

    @Property(tries = 60)
    void leaksNothingWhateverHappens(@ForAll @Size(min = 1, max = 80) List<@IntRange(max = 75) Integer> actions, @ForAll @IntRange(max = 4) int room)
            throws IOException {
        Path root = Files.createTempDirectory("pool");
        open.clear();
        tasks.clear();
        loads = 0;
        try (AdapterPool pool = pool((long) room * BYTES)) {
            AdapterCatalog catalog = pool.catalog();
            register(catalog, root, ADAPTERS);
            List<CompletableFuture<AdapterPool.Lease>> held = new ArrayList<>();
            for (int action : actions) {
                String name = "a" + action % ADAPTERS;
                AdapterId id = AdapterId.shared(name);
                boolean live = catalog.find("tenant", name).isPresent();
                switch (action / ADAPTERS) {
                    case 0, 1, 2, 3 -> held.add(acquire(pool, name));
                    case 4, 5 -> {
                        if (!tasks.isEmpty()) {
                            tasks.poll().run();
                        }
                    }
                    case 6, 7 -> succeeded(held).skip(action % 3).findFirst()
                            .ifPresent(lease -> {
                                lease.join().close();
                                held.remove(lease);
                            });
                    case 12 -> held.stream().filter(lease -> !lease.isDone()).findFirst().ifPresent(lease -> lease.cancel(false));
                    case 13 -> succeeded(held).skip(action % 3).findFirst().ifPresent(lease -> lease.join().loosen());
                    case 14 -> succeeded(held).skip(action % 3).findFirst().filter(lease -> !lease.join().fasten()).ifPresent(held::remove);
                    case 8 -> write(root.resolve(name), (action % 2 == 0 ? "bad " : "new ") + held.size());
                    case 9 -> {
                        if (live) {
                            catalog.unload(id);
                        }
                    }
                    case 10 -> {
                        if (live) {
                            catalog.remove(id);
                        } else {
                            catalog.restore(id);
                        }
                    }
                    default -> {
                        if (live) {
                            catalog.load(id);
                        }
                    }
                }
                assertThat((long) open.size() * BYTES).as("no memory that is not accounted for").isLessThanOrEqualTo(pool.bytes());
                assertThat(pool.bytes()).as("the budget").isLessThanOrEqualTo((long) room * BYTES);
                succeeded(held).filter(lease -> lease.join().fastened()).forEach(lease -> assertThat(open).as("in use").contains(lease.join().weights()));
            }
            turn();
            while (!held.stream().allMatch(CompletableFuture::isDone)) {
                var next = succeeded(held).findFirst();
                assertThat(next).as("who waits for room waits for somebody").isPresent();
                next.get().join().close();
                held.remove(next.get());
                turn();
            }
            succeeded(held).forEach(lease -> lease.join().close());
            turn();
            assertThat(open).hasSize(pool.loaded()).hasSizeLessThanOrEqualTo(room);
            assertThat(pool.bytes()).isEqualTo((long) pool.loaded() * BYTES);
            assertThat(pool.tiers().waiting()).isZero();
        } finally {
            assertThat(open).isEmpty();
            try (var files = Files.walk(root)) {
                files.sorted(java.util.Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
            }
        }
    }

    @org.junit.jupiter.api.Test
    void takesAChangedFolderOverWithoutARefusal(@org.junit.jupiter.api.io.TempDir Path root) throws IOException {
        try (AdapterPool pool = pool(PoolOptions.of(10 * BYTES).withHostBytes(0).withRecheck(Duration.ZERO))) {
            register(pool.catalog(), root, 1);
            var first = acquire(pool, "a0");
            turn();
            String old = pool.catalog().find("tenant", "a0").orElseThrow().version();
            write(root.resolve("a0"), "bad and longer");
            var meanwhile = acquire(pool, "a0");
            assertThat(meanwhile).isCompleted();
            turn();
            var still = acquire(pool, "a0");
            assertThat(still.join().weights().toString()).isEqualTo("content 0");

            write(root.resolve("a0"), "another content");
            var last = acquire(pool, "a0");
            assertThat(last.join().weights().toString()).isEqualTo("content 0");
            turn();
            var renewed = acquire(pool, "a0");
            assertThat(renewed.join().weights().toString()).isEqualTo("another content");
            assertThat(first.join().weights().toString()).isEqualTo("content 0");
            assertThat(pool.catalog().versions(AdapterId.shared("a0"))).hasSize(2).extracting(AdapterInfo::version).contains(old).doesNotHaveDuplicates();
            var gone = acquire(pool, "a0@" + old.substring(0, 8));
            List.of(first, meanwhile, still, last).forEach(lease -> lease.join().close());
            turn();
            assertThat(fault(gone).getMessage()).contains("no longer holds");
            renewed.join().close();
            turn();
            assertThat(open).hasSize(1);
        }
    }

    @org.junit.jupiter.api.Test
    void servesAnEarlierVersionAsLongAsItsFilesAreInMemory(@org.junit.jupiter.api.io.TempDir Path root) throws IOException {
        try (AdapterPool pool = pool(10 * BYTES)) {
            register(pool.catalog(), root, 1);
            var first = acquire(pool, "a0");
            turn();
            first.join().close();
            String old = pool.catalog().find("tenant", "a0").orElseThrow().version();
            write(root.resolve("a0"), "another content");
            acquire(pool, "a0").join().close();
            turn();
            var earlier = acquire(pool, "a0@" + old.substring(0, 8));
            var now = acquire(pool, "a0");
            turn();
            assertThat(earlier.join().weights().toString()).isEqualTo("content 0");
            assertThat(now.join().weights().toString()).isEqualTo("another content");
            earlier.join().close();
            now.join().close();
        }
    }

    @org.junit.jupiter.api.Test
    void loadsOnceForAllWhoWait(@org.junit.jupiter.api.io.TempDir Path root) throws IOException {
        try (AdapterPool pool = pool(10 * BYTES)) {
            register(pool.catalog(), root, 1);
            var held = Stream.generate(() -> acquire(pool, "a0")).limit(20).toList();
            turn();
            assertThat(loads).isEqualTo(1);
            held.forEach(lease -> lease.join().close());
            assertThat(pool.loaded()).isEqualTo(1);
        }
    }

    @org.junit.jupiter.api.Test
    void whoFindsNoRoomWaitsAndTenantsTakeTurns(@org.junit.jupiter.api.io.TempDir Path root) throws IOException {
        try (AdapterPool pool = pool(BYTES)) {
            register(pool.catalog(), root, ADAPTERS);
            var first = acquire(pool, "a0");
            turn();
            var noisy = acquire(pool, "a1");
            var noisyToo = acquire(pool, "a2");
            var quiet = pool.acquire("quiet", List.of(new AdapterWeight("a3")), Scheduling.NO_LIMIT);
            turn();
            assertThat(List.of(noisy, noisyToo, quiet)).noneMatch(CompletableFuture::isDone);
            assertThat(pool.tiers().waiting()).isEqualTo(3);
            List<CompletableFuture<AdapterPool.Lease>> order = List.of(first, noisy, quiet, noisyToo);
            for (int i = 0; i < order.size(); i++) {
                assertThat(order.get(i)).isCompleted();
                assertThat(order.subList(i + 1, order.size())).noneMatch(CompletableFuture::isDone);
                order.get(i).join().close();
                turn();
            }
        }
    }

    /** Tenants whose requests wait in the queue, so that their adapters are only kept for them. */
    @Property(tries = 60)
    void keepsRoomForWaitingRequestsOfAllTenantsAlike(@ForAll @Size(min = 1, max = 60) List<@IntRange(max = 44) Integer> actions,
            @ForAll @IntRange(min = 1, max = 6) int room) throws IOException {
        Path root = Files.createTempDirectory("pool");
        try (AdapterPool pool = pool((long) room * BYTES)) {
            Map<String, Set<String>> kept = new TreeMap<>();
            Map<String, List<CompletableFuture<AdapterPool.Lease>>> awaited = new TreeMap<>();
            List<AdapterPool.Lease> loose = new ArrayList<>();
            int asked = 0;
            for (int action : actions) {
                String tenant = "t" + action % 3;
                if (action < 36) {
                    String name = tenant + "-" + asked++;
                    pool.catalog().register(AdapterRegistration.folder(name, "base", write(root.resolve(name), name)));
                    awaited.computeIfAbsent(tenant, t -> new ArrayList<>()).add(pool.acquire(tenant, List.of(new AdapterWeight(name)), Scheduling.NO_LIMIT));
                } else if (!loose.isEmpty()) {
                    // One begins, and ends; it may have to wait for its adapter again.
                    AdapterPool.Lease lease = loose.remove(action % loose.size());
                    if (lease.fasten()) {
                        lease.close();
                    } else {
                        String owner = lease.wanted().getFirst().name().substring(0, 2);
                        awaited.get(owner).add(pool.again(lease, owner, Scheduling.NO_LIMIT));
                    }
                }
                turn();
                for (int before = -1; before != loose.size(); turn()) {
                    before = loose.size();
                    for (var leases : awaited.values()) {
                        for (var lease : succeeded(leases).toList()) {
                            leases.remove(lease);
                            lease.join().loosen();
                            loose.add(lease.join());
                        }
                    }
                }
                kept.clear();
                pool.catalog().list(AdapterQuery.all(100)).adapters().stream().filter(AdapterInfo::loaded)
                        .filter(info -> loose.stream().anyMatch(lease -> lease.wanted().getFirst().name().equals(info.name())))
                        .forEach(info -> kept.computeIfAbsent(info.name().substring(0, 2), t -> new TreeSet<>()).add(info.name()));
                awaited.forEach((waits, leases) -> {
                    if (!leases.isEmpty()) {
                        int own = kept.getOrDefault(waits, Set.of()).size();
                        kept.forEach((other, adapters) -> assertThat(adapters).as("what is kept for %s while %s waits, which has %d", other, waits, own)
                                .hasSizeLessThanOrEqualTo(other.equals(waits) ? room : own + 1));
                    }
                });
            }
            loose.forEach(AdapterPool.Lease::close);
            turn();
            List<CompletableFuture<AdapterPool.Lease>> left = new ArrayList<>(awaited.values().stream().flatMap(List::stream).toList());
            while (!left.isEmpty()) {
                List<CompletableFuture<AdapterPool.Lease>> served = succeeded(left).toList();
                assertThat(served).as("nobody is forgotten").isNotEmpty();
                served.forEach(lease -> lease.join().close());
                left.removeAll(served);
                turn();
            }
        } finally {
            tasks.clear();
            try (var files = Files.walk(root)) {
                files.sorted(java.util.Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
            }
        }
    }

    @org.junit.jupiter.api.Test
    void whoWaitsLongGetsRoomFromAdaptersThatAreAlwaysInUse(@org.junit.jupiter.api.io.TempDir Path root) throws IOException {
        try (AdapterPool pool = pool(PoolOptions.of(BYTES).withTurnTime(Duration.ZERO))) {
            register(pool.catalog(), root, 2);
            var running = acquire(pool, "a0");
            turn();
            var quiet = pool.acquire("quiet", List.of(new AdapterWeight("a1")), Scheduling.NO_LIMIT);
            turn();
            // From here on somebody always uses the adapter, if it takes new requests.
            var next = acquire(pool, "a0");
            running.join().close();
            turn();
            for (int i = 0; i < 5 && !quiet.isDone(); i++) {
                var later = acquire(pool, "a0");
                turn();
                next.join().close();
                turn();
                next = later;
            }
            assertThat(quiet).isCompleted();
            assertThat(next).as("in line behind").isNotDone();
            quiet.join().close();
            turn();
            next.join().close();
        }
    }

    @org.junit.jupiter.api.Test
    void whoWaitsForRoomTooLongIsTold(@org.junit.jupiter.api.io.TempDir Path root) throws IOException {
        try (AdapterPool pool = pool(BYTES)) {
            register(pool.catalog(), root, 3);
            var first = acquire(pool, "a0");
            turn();
            var late = pool.acquire("tenant", List.of(new AdapterWeight("a1")), Duration.ofMillis(30));
            turn();
            assertThatThrownBy(late::join).hasCauseInstanceOf(RuntimeFault.class).hasMessageContaining("what is in use takes all the memory");
            assertThat(fault(late).kind()).isEqualTo(RuntimeFault.Kind.QUEUE_TIMEOUT);
            int before = loads;
            var cancelled = acquire(pool, "a2");
            turn();
            cancelled.cancel(false);
            first.join().close();
            turn();
            assertThat(loads).as("what nobody waits for is not loaded").isEqualTo(before);
            assertThat(pool.catalog().find("tenant", "a0").orElseThrow().loaded()).isTrue();
        }
    }

    @org.junit.jupiter.api.Test
    void refusesWhatCanNeverFit(@org.junit.jupiter.api.io.TempDir Path root) throws IOException {
        try (AdapterPool pool = pool(BYTES - 1)) {
            register(pool.catalog(), root, 1);
            var never = acquire(pool, "a0");
            turn();
            assertThat(fault(never).getMessage()).contains("needs " + BYTES + " bytes", "may take " + (BYTES - 1));
        }
        try (AdapterPool pool = pool(BYTES)) {
            pool.catalog().register(AdapterRegistration.folder("a0", "base", root.resolve("a0")));
            pool.catalog().register(AdapterRegistration.folder("a1", "base", write(root.resolve("a1"), "content 1")));
            pool.catalog().pin(AdapterId.shared("a0"), true);
            turn();
            var never = acquire(pool, "a1");
            turn();
            assertThat(fault(never).getMessage()).contains("pinned ones take " + BYTES);
        }
    }

    @org.junit.jupiter.api.Test
    void remembersAFailureUntilTheFilesChange(@org.junit.jupiter.api.io.TempDir Path root) throws IOException {
        try (AdapterPool pool = pool(10 * BYTES)) {
            register(pool.catalog(), root, 1);
            write(root.resolve("a0"), "bad");
            var first = acquire(pool, "a0");
            turn();
            assertThat(fault(first).kind()).isEqualTo(RuntimeFault.Kind.ADAPTER_UNUSABLE);
            var again = acquire(pool, "a0");
            assertThat(fault(again).retryAfter()).isPresent();
            assertThat(loads).isEqualTo(1);
            assertThat(pool.catalog().list(new AdapterQuery(null, null, "", Map.of(), Set.of(), true, false, 10, null)).adapters()).hasSize(1);
            write(root.resolve("a0"), "good now");
            var good = acquire(pool, "a0");
            turn();
            good.join().close();
            assertThat(pool.catalog().find("tenant", "a0").orElseThrow().failure()).isNull();
        }
    }

    @org.junit.jupiter.api.Test
    void keepsPinnedAdapters(@org.junit.jupiter.api.io.TempDir Path root) throws IOException {
        try (AdapterPool pool = pool(2 * BYTES)) {
            register(pool.catalog(), root, ADAPTERS);
            pool.catalog().pin(AdapterId.shared("a0"), true);
            turn();
            for (int i = 1; i < ADAPTERS; i++) {
                var lease = acquire(pool, "a" + i);
                turn();
                lease.join().close();
            }
            assertThat(pool.catalog().find("tenant", "a0").orElseThrow().loaded()).isTrue();
            assertThat(pool.loaded()).isEqualTo(2);
        }
    }

    @org.junit.jupiter.api.Test
    void whatWasLoadedForNobodyGivesWayLikeAnyOther(@org.junit.jupiter.api.io.TempDir Path root) throws IOException {
        try (AdapterPool pool = pool(2 * BYTES)) {
            register(pool.catalog(), root, 4);
            acquire(pool, "a0").cancel(false);
            turn();
            assertThat(pool.loaded()).as("without being used").isOne();
            var passing = acquire(pool, "a1");
            turn();
            passing.join().close();
            var first = acquire(pool, "a2");
            turn();
            var second = acquire(pool, "a3");
            turn();
            assertThat(second).as("in the room of the one that nobody wanted").isDone();
            first.join().close();
            second.join().close();
        }
    }

    @org.junit.jupiter.api.Test
    void filesAreInMemoryOnceHoweverOftenTheyArePinned(@org.junit.jupiter.api.io.TempDir Path root) throws IOException {
        try (AdapterPool pool = pool(2 * BYTES)) {
            register(pool.catalog(), root, 1);
            var lease = acquire(pool, "a0");
            turn();
            lease.join().close();
            long bytes = pool.tiers().host().bytes();
            assertThat(bytes).isPositive();
            for (int i = 0; i < 4; i++) {
                pool.catalog().pin(AdapterId.shared("a0"), i % 2 == 0);
                turn();
                assertThat(pool.tiers().host().bytes()).isEqualTo(bytes);
            }
            pool.catalog().remove(AdapterId.shared("a0"));
            turn();
            assertThat(pool.tiers().host().bytes()).isZero();
        }
    }

    @org.junit.jupiter.api.Test
    void loadsPinnedAdaptersWhenItOpens(@org.junit.jupiter.api.io.TempDir Path root) throws IOException {
        try (AdapterPool pool = pool(10 * BYTES, root.resolve("store"))) {
            register(pool.catalog(), root, 2);
            pool.catalog().pin(AdapterId.shared("a1"), true);
        }
        tasks.clear();
        try (AdapterPool pool = pool(10 * BYTES, root.resolve("store"))) {
            turn();
            assertThat(pool.catalog().find("tenant", "a1").orElseThrow().loaded()).isTrue();
            assertThat(pool.loaded()).isEqualTo(1);
        }
    }

    @org.junit.jupiter.api.Test
    void dropsTheLeastRecentlyUsedFirst(@org.junit.jupiter.api.io.TempDir Path root) throws IOException {
        try (AdapterPool pool = pool(2 * BYTES)) {
            register(pool.catalog(), root, 3);
            for (String name : List.of("a0", "a1", "a0", "a2")) {
                var lease = acquire(pool, name);
                turn();
                lease.join().close();
            }
            assertThat(pool.catalog().list(AdapterQuery.all(9)).adapters()).filteredOn(AdapterInfo::loaded).extracting(AdapterInfo::name)
                    .containsExactly("a0", "a2");
        }
    }

    @org.junit.jupiter.api.Test
    void showsATenantItsOwnAndTheSharedOnesPageByPage(@org.junit.jupiter.api.io.TempDir Path root) throws IOException {
        try (AdapterPool pool = pool(10 * BYTES)) {
            AdapterCatalog catalog = pool.catalog();
            register(catalog, root, ADAPTERS);
            for (String owner : List.of("acme", "other")) {
                for (String name : List.of("a1", owner + "-1")) {
                    catalog.register(new AdapterRegistration(new AdapterId(owner, name), "base",
                            new AdapterSource.Folder(write(root.resolve(owner + name), owner)), Map.of("by", owner), null, false));
                }
            }
            List<String> seen = new ArrayList<>();
            AdapterQuery query = AdapterQuery.visibleTo("acme", 2);
            for (String next = ""; next != null; query = query.from(next)) {
                var page = catalog.list(query);
                page.adapters().forEach(info -> seen.add(info.id().toString()));
                next = page.next();
            }
            assertThat(seen).containsExactly("a0", "a1 of acme", "a2", "a3", "a4", "acme-1 of acme");
            assertThat(catalog.list(new AdapterQuery("acme", null, "acme", Map.of("by", "acme"), Set.of(), false, false, 9, null)).adapters()).hasSize(1);
            var hidden = acquire(pool, "other-1");
            assertThat(fault(pool.acquire("acme", List.of(new AdapterWeight("other-1")), Scheduling.NO_LIMIT)).getMessage().replace("other-1", "x"))
                    .isEqualTo(fault(pool.acquire("acme", List.of(new AdapterWeight("none")), Scheduling.NO_LIMIT)).getMessage().replace("none", "x"));
            assertThat(fault(hidden).kind()).isEqualTo(RuntimeFault.Kind.UNKNOWN_ADAPTER);
            assertThatThrownBy(() -> new AdapterId("acme", "../etc")).isInstanceOf(RuntimeFault.class);
        }
    }
}
