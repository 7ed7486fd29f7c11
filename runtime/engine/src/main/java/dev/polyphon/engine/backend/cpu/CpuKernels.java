package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.Activation;
import dev.polyphon.engine.backend.AttentionSpec;
import dev.polyphon.engine.backend.Batch;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.backend.LowRank;
import dev.polyphon.engine.backend.NormKind;
import dev.polyphon.engine.backend.Projection;
import dev.polyphon.engine.backend.RotaryTable;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.TensorView;
import java.util.List;
import java.util.stream.IntStream;

/** Kernels for the processor's cores and vectors. Closing it ends its threads; what it made stays readable until closed itself. */
public final class CpuKernels implements Kernels {
    private static final long SPIN_NANOS = 200_000;

    private final MachineTiles code;
    private final WorkerPool pool;
    private final Scratch[] scratch;
    private final Linear linear;
    private final Attention attention;
    private final Pointwise pointwise;

    private CpuKernels(int threads, MachineTiles code) {
        this.code = code;
        pool = new WorkerPool(threads, SPIN_NANOS);
        scratch = IntStream.range(0, threads).mapToObj(i -> new Scratch()).toArray(Scratch[]::new);
        linear = new Linear(pool, scratch);
        attention = new Attention(pool, scratch, code);
        pointwise = new Pointwise(pool);
    }

    /**
     * @param threads how many threads compute, the caller's included; not more than there are cores
     */
    public static CpuKernels open(int threads) {
        return open(threads, true);
    }

    /**
     * @param threads how many threads compute, the caller's included; not more than there are cores
     * @param machineCode whether code may be written at run time for what the Vector API does not reach, where the processor and the system allow it
     */
    public static CpuKernels open(int threads, boolean machineCode) {
        return new CpuKernels(threads, machineCode ? MachineTiles.find().orElse(null) : null);
    }

    @Override
    public String describe() {
        return "CPU, " + System.getProperty("os.arch") + ", " + 32 * Lanes.L + "-bit vectors, " + (code == null ? "" : "machine code, ") + pool.threads() + " threads";
    }

    @Override
    public Weight weight(TensorView view, int[] rowOrder) {
        checkMatrix(view, rowOrder);
        return Panels.pack(view, rowOrder, code);
    }

    @Override
    public Weight rows(TensorView view, int[] rowOrder) {
        checkMatrix(view, rowOrder);
        return new CpuRows(view, rowOrder);
    }

    private static void checkMatrix(TensorView view, int[] rowOrder) {
        Weight.check(view, rowOrder);
        if (!view.data().isNative()) {
            throw new IllegalArgumentException("the bytes of " + view.name() + " are on the heap, weights are read from native memory");
        }
        // Says so now if it is no type of weights.
        RowDecoder.decode(view.dtype(), 0, 0, 0);
    }

    @Override
    public Tensor tensor(int rows, int columns) {
        return new CpuTensor(rows, columns);
    }

    @Override
    public void write(Tensor tensor, int firstRow, int rows, float[] values) {
        ((CpuTensor) tensor).write(firstRow, rows, values);
    }

    @Override
    public void read(Tensor tensor, int firstRow, int rows, float[] values) {
        ((CpuTensor) tensor).read(firstRow, rows, values);
    }

    @Override
    public void read(Weight weight, int firstRow, int rows, float[] values) {
        java.util.Objects.checkFromIndexSize(firstRow, rows, weight.out());
        switch (weight) {
            case Panels panels -> panels.read(firstRow, rows, values);
            case CpuRows table -> table.open().read(firstRow, rows, values);
            default -> throw new IllegalArgumentException("not a weight of these kernels: " + weight);
        }
    }

    @Override
    public boolean kvElastic() {
        return true;
    }

    @Override
    public KvCache kvCache(int layers, int kvHeads, int headDim, int blocks, int blockSize) {
        return kvCache(layers, kvHeads, headDim, blocks, blockSize, DType.F32);
    }

    /** Half floats cost the tiles of machine code little, and steps over long contexts are bound by the bytes they read. */
    @Override
    public DType kvType(DType weights) {
        return code != null && weights.bytes(32) <= DType.F16.bytes(32) ? DType.F16 : DType.F32;
    }

    @Override
    public KvCache kvCache(int layers, int kvHeads, int headDim, int blocks, int blockSize, DType type) {
        if (type != DType.F32 && (type != DType.F16 || code == null)) {
            throw new UnsupportedOperationException(describe() + " cannot keep keys and values in " + type);
        }
        return new CpuKvCache(layers, kvHeads, headDim, blocks, blockSize, type == DType.F16);
    }

    @Override
    public RotaryTable rotaryTable(float[] inverseFrequencies, float magnitude, int positions) {
        return new CpuRotaryTable(inverseFrequencies, magnitude, positions);
    }

    @Override
    public void embed(Weight table, int[] ids, int rows, float scale, Tensor out) {
        pointwise.embed((CpuRows) table, ids, rows, scale, (CpuTensor) out);
    }

    @Override
    public void norm(NormKind kind, float epsilon, Tensor weight, Tensor bias, int group, Tensor x, int rows, Tensor out) {
        pointwise.norm(kind, epsilon, (CpuTensor) weight, (CpuTensor) bias, group, (CpuTensor) x, rows, (CpuTensor) out);
    }

    @Override
    public void linear(Tensor x, int firstRow, int rows, List<Projection> projections) {
        linear.linear((CpuTensor) x, firstRow, rows, projections, List.of());
    }

    @Override
    public void linear(Tensor x, int firstRow, int rows, List<Projection> projections, List<LowRank> deltas) {
        linear.linear((CpuTensor) x, firstRow, rows, projections, deltas);
    }

    @Override
    public void lowRank(Tensor x, List<LowRank> items) {
        linear.add((CpuTensor) x, items);
    }

    @Override
    public void rotary(RotaryTable table, boolean interleaved, Tensor x, int rows, int headDim, int[] positions) {
        pointwise.rotary((CpuRotaryTable) table, interleaved, (CpuTensor) x, rows, headDim, positions);
    }

    @Override
    public void writeKv(KvCache cache, int layer, Tensor keys, Tensor values, Batch batch) {
        attention.write((CpuKvCache) cache, layer, (CpuTensor) keys, (CpuTensor) values, batch);
    }

    @Override
    public void attention(AttentionSpec spec, Tensor queries, KvCache cache, int layer, Batch batch, Tensor out) {
        attention.attend(spec, (CpuTensor) queries, (CpuKvCache) cache, layer, batch, (CpuTensor) out);
    }

    @Override
    public void activate(Activation f, Tensor gate, Tensor up, int rows, Tensor out) {
        pointwise.activate(f, (CpuTensor) gate, (CpuTensor) up, rows, (CpuTensor) out);
    }

    @Override
    public void add(Tensor x, Tensor y, int rows) {
        pointwise.add((CpuTensor) x, (CpuTensor) y, rows);
    }

    @Override
    public void gather(Tensor x, int[] rows, int count, Tensor out) {
        pointwise.gather((CpuTensor) x, rows, count, (CpuTensor) out);
    }

    @Override
    public void close() {
        pool.close();
        linear.close();
        for (Scratch s : scratch) {
            s.close();
        }
    }
}
