package dev.polyphon.engine.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;

class WorkerPoolTest {

    @Test
    void everyPieceRunsOnce() {
        for (int threads : new int[] {1, 2, 5}) {
            try (WorkerPool pool = new WorkerPool(threads, 1000)) {
                for (int round = 0; round < 3000; round++) {
                    int pieces = round % 40;
                    AtomicIntegerArray ran = new AtomicIntegerArray(pieces);
                    pool.run(pieces, (worker, piece) -> {
                        assertThat(worker).isBetween(0, threads - 1);
                        ran.incrementAndGet(piece);
                    });
                    for (int i = 0; i < pieces; i++) {
                        assertThat(ran.get(i)).isEqualTo(1);
                    }
                }
            }
        }
    }

    /** Plain writes of the pieces are seen by the caller, and the caller's by the next job's pieces. */
    @Test
    void jobsAreOrdered() {
        try (WorkerPool pool = new WorkerPool(3, 1000)) {
            int[] values = new int[64];
            for (int round = 1; round <= 20_000; round++) {
                int now = round;
                pool.run(values.length, (worker, piece) -> {
                    if (values[(piece * 7 + now) % values.length] < now - 1) {
                        throw new AssertionError("a write of the job before was not seen");
                    }
                });
                pool.run(values.length, (worker, piece) -> values[piece] = now);
            }
        }
    }

    @Test
    void parkedWorkersWakeAndTakePart() throws InterruptedException {
        try (WorkerPool pool = new WorkerPool(2, 0)) {
            for (int round = 0; round < 20; round++) {
                Thread.sleep(2);
                // Both pieces wait for each other: it ends only if two threads run them.
                CountDownLatch both = new CountDownLatch(2);
                pool.run(2, (worker, piece) -> {
                    both.countDown();
                    try {
                        both.await();
                    } catch (InterruptedException e) {
                        throw new IllegalStateException(e);
                    }
                });
            }
        }
    }

    @Test
    void onePieceRunsOnTheCaller() {
        try (WorkerPool pool = new WorkerPool(4, 0)) {
            Set<Thread> seen = ConcurrentHashMap.newKeySet();
            for (int i = 0; i < 100; i++) {
                pool.run(1, (worker, piece) -> seen.add(Thread.currentThread()));
            }
            assertThat(seen).containsExactly(Thread.currentThread());
        }
    }

    @Test
    void anExceptionReachesTheCallerAndThePoolGoesOn() {
        try (WorkerPool pool = new WorkerPool(3, 1000)) {
            for (int round = 0; round < 200; round++) {
                AtomicInteger ran = new AtomicInteger();
                int bad = round % 30;
                assertThatThrownBy(() -> pool.run(30, (worker, piece) -> {
                    ran.incrementAndGet();
                    if (piece == bad) {
                        throw new IllegalArgumentException("piece " + piece);
                    }
                })).isInstanceOf(IllegalArgumentException.class).hasMessage("piece " + bad);
                assertThat(ran).hasValue(30);
            }
        }
    }

    @Test
    void closingEndsTheThreads() {
        WorkerPool pool = new WorkerPool(3, 0);
        Set<Thread> threads = ConcurrentHashMap.newKeySet();
        CountDownLatch all = new CountDownLatch(3);
        pool.run(3, (worker, piece) -> {
            threads.add(Thread.currentThread());
            all.countDown();
            try {
                all.await();
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        });
        pool.close();
        threads.remove(Thread.currentThread());
        assertThat(threads).hasSize(2).allMatch(t -> !t.isAlive());
        assertThatThrownBy(() -> pool.run(2, (worker, piece) -> {})).isInstanceOf(IllegalStateException.class);
    }
}
