package dev.polyphon.engine.pool;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import dev.polyphon.runtime.AdapterTiers.Tier;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;
import java.util.function.LongPredicate;

/**
 * Versions' files in memory up to so many bytes, chosen by W-TinyLFU (Einziger et al. 2017). Pinned ones weigh nothing, and so always stay. A version that
 * several ask for at once is read once. Thread-safe; waits for files.
 */
final class HostTier {
    private static final int UNIT = 1024;

    /** A read under way, and who wants it. */
    private static final class Flight {
        final CompletableFuture<Image> done = new CompletableFuture<>();
        final List<BooleanSupplier> wanters = new CopyOnWriteArrayList<>();

        boolean wanted() {
            return wanters.stream().anyMatch(BooleanSupplier::getAsBoolean);
        }
    }

    private final VersionFiles files;
    private final long limit;
    private final Cache<Long, Image> images;
    private final ConcurrentHashMap<Long, Flight> flights = new ConcurrentHashMap<>();
    private final AtomicLong bytes = new AtomicLong();
    private final AtomicLong hits = new AtomicLong();
    private final AtomicLong misses = new AtomicLong();
    private final AtomicLong evictions = new AtomicLong();

    /** @param pinned whether the version of a number is to stay */
    HostTier(VersionFiles files, long limit, LongPredicate pinned) {
        this.files = files;
        this.limit = limit;
        images = Caffeine.newBuilder()
                .maximumWeight(limit / UNIT)
                .<Long, Image>weigher((number, image) -> pinned.test(number) ? 0 : Math.toIntExact((image.bytes() + UNIT - 1) / UNIT))
                .executor(Runnable::run)
                .removalListener((number, image, cause) -> {
                    bytes.addAndGet(-image.bytes());
                    image.release();
                    if (cause.wasEvicted()) {
                        evictions.incrementAndGet();
                    }
                })
                .build();
    }

    /**
     * A version's files; the caller holds them.
     *
     * @param wanted as for {@link VersionFiles#read}
     */
    Image get(Part part, BooleanSupplier wanted) throws IOException {
        while (true) {
            Image image = images.getIfPresent(part.number());
            if (image != null && image.retain()) {
                hits.incrementAndGet();
                return image;
            }
            Flight mine = new Flight();
            mine.wanters.add(wanted);
            Flight other = flights.putIfAbsent(part.number(), mine);
            if (other == null) {
                misses.incrementAndGet();
                return read(part, mine);
            }
            other.wanters.add(wanted);
            image = await(other);
            if (image.retain()) {
                hits.incrementAndGet();
                return image;
            }
        }
    }

    private Image read(Part part, Flight flight) throws IOException {
        try {
            Image image = files.read(part, flight::wanted);
            if (part.version().hash().isEmpty() || part.version().hash().equals(image.hash())) {
                put(part.number(), image);
            }
            flight.done.complete(image);
            return image;
        } catch (Throwable e) {
            flight.done.completeExceptionally(e);
            throw e;
        } finally {
            flights.remove(part.number(), flight);
        }
    }

    private static Image await(Flight flight) throws IOException {
        try {
            return flight.done.join();
        } catch (CompletionException e) {
            switch (e.getCause()) {
                case IOException cause -> throw cause;
                case RuntimeException cause -> throw cause;
                case Error cause -> throw cause;
                default -> throw e;
            }
        }
    }

    /** Keeps a version's files, as long as there is room for them. */
    void put(long number, Image image) {
        if (limit > 0 && image.retain()) {
            bytes.addAndGet(image.bytes());
            images.put(number, image);
        }
    }

    /** Weighs a version again, after it was pinned or is no longer. */
    void weigh(long number) {
        Image image = images.getIfPresent(number);
        if (image != null) {
            // By itself: the cache does not tell of a value that takes its own place, so that a hold taken for that would never end.
            images.asMap().replace(number, image, image);
        }
    }

    /** Keeps a version's files no longer. */
    void drop(long number) {
        images.invalidate(number);
    }

    boolean contains(long number) {
        return images.asMap().containsKey(number);
    }

    boolean fetching(long number) {
        return flights.containsKey(number);
    }

    Tier usage() {
        return new Tier(Math.toIntExact(images.estimatedSize()), bytes.get(), limit, hits.get(), misses.get(), evictions.get());
    }

    void close() {
        images.invalidateAll();
        images.cleanUp();
    }
}
