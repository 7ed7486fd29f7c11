package dev.polyphon.engine.backend.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs lists of launches, as CUDA graphs when the same list comes again: a batch of as many rows with as many adapters makes the same launches step after
 * step, since what differs from step to step is in tables at the same places. A graph is replayed for a list that is equal to its own byte for byte, so
 * that it cannot compute anything else. Used by the step loop's thread.
 */
final class Graphs implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Graphs.class);
    private static final int RELAXED = 2;
    private static final int FEWEST = 4;
    private static final int MOST = 128;

    /** Runs every kernel by itself and waits for it, so that one that fails is the one that is named. */
    private final boolean checked = Boolean.getBoolean("polyphon.cuda.checked");

    private final Driver driver;
    private final MemorySegment stream;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment parameters = arena.allocate(8, 8);
    private final LaunchConfig config;
    private final Map<Long, Graph> known = new LinkedHashMap<>(16, 0.75f, true);
    private boolean capturing = true;
    private String last = "no kernel yet";

    /** @param executable null for a list that was seen once */
    private record Graph(MemorySegment executable, byte[] launches) {}

    /** @param overlapping whether kernels may start while those before them still run */
    Graphs(Driver driver, MemorySegment stream, boolean overlapping) {
        this.driver = driver;
        this.stream = stream;
        config = new LaunchConfig(arena, stream, overlapping && Boolean.parseBoolean(System.getProperty("polyphon.cuda.overlapping", "true")));
    }

    /** What ran last, for messages. */
    String last() {
        return last;
    }

    int graphs() {
        return (int) known.values().stream().filter(g -> g.executable != null).count();
    }

    /** @throws CudaException naming the launch that failed, with its shapes */
    void run(Launches launches) {
        if (launches.count() == 0) {
            return;
        }
        last = launches.describe(launches.count() - 1);
        if (checked || !capturing || launches.count() < FEWEST) {
            direct(launches);
            return;
        }
        long hash = hash(launches.bytes());
        Graph graph = known.get(hash);
        if (graph == null) {
            put(hash, new Graph(null, null));
            direct(launches);
            return;
        }
        if (graph.executable == null) {
            graph = capture(launches);
            if (graph == null) {
                direct(launches);
                return;
            }
            put(hash, graph);
        } else if (MemorySegment.ofArray(graph.launches).mismatch(launches.bytes()) >= 0) {
            direct(launches);
            return;
        }
        last = "a graph of " + launches.count() + " kernels that ends with " + last + " (polyphon.cuda.checked=true finds the one)";
        driver.call(last, "cuGraphLaunch", graph.executable, stream);
    }

    private void direct(Launches launches) {
        for (int i = 0; i < launches.count(); i++) {
            int status = launch(launches, i);
            if (status != 0) {
                throw driver.failure("cuLaunchKernelEx", launches.describe(i), status);
            }
            if (checked) {
                driver.call(launches.describe(i), "cuStreamSynchronize", stream);
            }
        }
    }

    private int launch(Launches launches, int i) {
        parameters.set(JAVA_LONG, 0, launches.arguments(i).address());
        return driver.launch(config.of(launches.gridX(i), launches.gridY(i), launches.threads(i), launches.shared(i)), launches.function(i), parameters);
    }

    /** Null when the driver cannot, which is logged once; everything runs without, then. */
    private Graph capture(Launches launches) {
        MemorySegment graph = null;
        try {
            driver.call("a graph", "cuStreamBeginCapture_v2", stream, RELAXED);
            int failed = -1;
            int status = 0;
            for (int i = 0; i < launches.count() && failed < 0; i++) {
                status = launch(launches, i);
                failed = status == 0 ? -1 : i;
            }
            graph = captured();
            if (failed >= 0) {
                throw driver.failure("cuLaunchKernelEx", launches.describe(failed), status);
            }
            MemorySegment executable = driver.handle("a graph of " + launches.count() + " kernels", "cuGraphInstantiateWithFlags", graph, 0L);
            return new Graph(executable, launches.bytes().toArray(JAVA_BYTE));
        } catch (CudaException e) {
            capturing = false;
            LOG.warn("steps run without CUDA graphs: {}", e.getMessage());
            return null;
        } finally {
            if (graph != null) {
                driver.status("cuGraphDestroy", graph);
            }
        }
    }

    /** The call takes the stream first, unlike those that {@link Driver#handle} is for. */
    private MemorySegment captured() {
        driver.call("a graph", "cuStreamEndCapture", stream, parameters);
        return parameters.get(ADDRESS, 0);
    }

    private void put(long hash, Graph graph) {
        known.put(hash, graph);
        if (known.size() > MOST) {
            Map.Entry<Long, Graph> eldest = known.entrySet().iterator().next();
            known.remove(eldest.getKey());
            destroy(eldest.getValue());
        }
    }

    private void destroy(Graph graph) {
        if (graph.executable != null) {
            driver.status("cuGraphExecDestroy", graph.executable);
        }
    }

    private static long hash(MemorySegment bytes) {
        long hash = bytes.byteSize();
        for (long at = 0; at < bytes.byteSize(); at += 8) {
            hash = (hash ^ bytes.get(JAVA_LONG, at)) * 0x9e3779b97f4a7c15L;
            hash ^= hash >>> 29;
        }
        return hash;
    }

    @Override
    public void close() {
        known.values().forEach(this::destroy);
        arena.close();
    }
}
