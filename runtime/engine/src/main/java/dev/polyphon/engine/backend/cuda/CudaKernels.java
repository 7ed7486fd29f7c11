package dev.polyphon.engine.backend.cuda;

import static dev.polyphon.engine.backend.cuda.CudaTensor.addressOf;

import dev.polyphon.engine.backend.Activation;
import dev.polyphon.engine.backend.AttentionSpec;
import dev.polyphon.engine.backend.Batch;
import dev.polyphon.engine.backend.Draw;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.backend.LowRank;
import dev.polyphon.engine.backend.NormKind;
import dev.polyphon.engine.backend.Projection;
import dev.polyphon.engine.backend.RotaryTable;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.TensorView;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;

/**
 * Kernels for one NVIDIA GPU, by the driver API and NVRTC. Weights stay as their file has them; activations and sums are f32.
 *
 * <p>A row's bits do not depend on its neighbours: every sum is taken by one warp, block or thread in an order that only the row's own sizes decide.
 */
public final class CudaKernels implements Kernels {
    private static final int WARP = 32;
    private static final int THREADS = 128;
    private static final int SAMPLE_THREADS = 512;
    private static final int MOST_THREADS = 1024;
    /** Columns of a thread where rows are gone through column by column. */
    private static final int VECTOR = 4;
    private static final int DRAW = 32;

    private final Device device;
    private final Precision precision;
    private final Scratch scratch;
    private final Products products;
    private final PagedAttention attention;

    private CudaKernels(Device device, Precision precision) {
        this.device = device;
        this.precision = precision;
        scratch = new Scratch(device);
        products = new Products(device, scratch, precision);
        attention = new PagedAttention(device, scratch);
    }

    /**
     * Opens a GPU.
     *
     * @param ordinal which, as the driver counts them
     * @param memory bytes of its memory to take; 0 for nine tenths of what is free
     * @throws CudaException when a library is missing, there is no such GPU, or it cannot be used; the message says which and where it was looked for
     * @throws dev.polyphon.engine.backend.DeviceMemoryException when it has less memory than asked for
     */
    public static CudaKernels open(int ordinal, long memory, Precision precision) {
        Libraries libraries = Libraries.of(System.getenv());
        Driver driver = new Driver(libraries.open(Libraries.DRIVER));
        return open(driver, new Nvrtc(libraries.open(Libraries.NVRTC)), ordinal, memory, cache(), precision);
    }

    /** How many GPUs the driver knows. @throws CudaException when there is no driver, or none */
    public static int count() {
        Driver driver = new Driver(Libraries.of(System.getenv()).open(Libraries.DRIVER));
        driver.call("the driver", "cuInit", 0);
        int count = driver.integer("the number of devices", "cuDeviceGetCount");
        if (count == 0) {
            throw new CudaException("the driver knows no device");
        }
        return count;
    }

    static CudaKernels open(Driver driver, Compiler compiler, int ordinal, long memory, Path cache, Precision precision) {
        return new CudaKernels(new Device(driver, compiler, ordinal, memory, cache), precision);
    }

    private static Path cache() {
        return Path.of(System.getenv().getOrDefault("POLYPHON_CACHE", System.getProperty("user.home") + "/.cache/polyphon"), "cuda");
    }

    @Override
    public String describe() {
        return device.describe();
    }

    @Override
    public void begin(Batch batch) {
        device.begin();
        attention.begin(batch);
        scratch.tidy();
    }

    @Override
    public void end() {
        attention.end();
        device.end();
    }

    @Override
    public long freeBytes() {
        return device.arena().free();
    }

    @Override
    public boolean kvElastic() {
        return true;
    }

    @Override
    public DType kvType(DType weights) {
        return precision == Precision.BF16 ? DType.BF16 : DType.F32;
    }

    @Override
    public KvCache kvCache(int layers, int kvHeads, int headDim, int blocks, int blockSize, DType type) {
        if (type != kvType(type)) {
            throw new UnsupportedOperationException(describe() + " keeps keys and values in " + kvType(type) + ", not " + type);
        }
        return kvCache(layers, kvHeads, headDim, blocks, blockSize);
    }

    @Override
    public Weight weight(TensorView view, int[] rowOrder) {
        CudaWeight weight = new CudaWeight(device, view, rowOrder);
        if (precision == Precision.BF16) {
            device.load(Sources.product(weight.number()));
        }
        return weight;
    }

    @Override
    public Weight rows(TensorView view, int[] rowOrder) {
        return new CudaWeight(device, view, rowOrder);
    }

    @Override
    public Tensor tensor(int rows, int columns) {
        return new CudaTensor(device, rows, columns);
    }

    @Override
    public void write(Tensor tensor, int firstRow, int rows, float[] values) {
        CudaTensor t = ((CudaTensor) tensor).holding(firstRow, rows);
        // Kernels before may still read the tensor.
        device.finish();
        try (Arena arena = Arena.ofConfined()) {
            long bytes = 4L * rows * t.columns();
            MemorySegment copy = arena.allocate(Math.max(4, bytes), 4);
            MemorySegment.copy(values, 0, copy, ValueLayout.JAVA_FLOAT, 0, rows * t.columns());
            device.upload(copy.asSlice(0, bytes), t.row(firstRow));
        }
    }

    @Override
    public void read(Tensor tensor, int firstRow, int rows, float[] values) {
        CudaTensor t = ((CudaTensor) tensor).holding(firstRow, rows);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment copy = arena.allocate(4L * Math.max(1, rows * t.columns()), 4).asSlice(0, 4L * rows * t.columns());
            device.download(t.row(firstRow), copy);
            MemorySegment.copy(copy, ValueLayout.JAVA_FLOAT, 0, values, 0, rows * t.columns());
        }
    }

    @Override
    public void read(Weight weight, int firstRow, int rows, float[] values) {
        Objects.checkFromIndexSize(firstRow, rows, weight.out());
        CudaWeight w = (CudaWeight) weight;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment data = arena.allocate(Math.max(1, rows * w.rowBytes()), 64).asSlice(0, rows * w.rowBytes());
            device.download(w.address() + firstRow * w.rowBytes(), data);
            Floats.read(new TensorView("a weight", w.type(), new long[] {rows, w.in()}, data), 0, values, 0, rows * w.in());
        }
    }

    @Override
    public KvCache kvCache(int layers, int kvHeads, int headDim, int blocks, int blockSize) {
        return new CudaKvCache(device, precision == Precision.BF16, layers, kvHeads, headDim, blocks, blockSize);
    }

    @Override
    public RotaryTable rotaryTable(float[] inverseFrequencies, float magnitude, int positions) {
        return new CudaRotaryTable(device, inverseFrequencies, magnitude, positions);
    }

    @Override
    public void embed(Weight table, int[] ids, int rows, float scale, Tensor out) {
        CudaWeight w = (CudaWeight) table;
        CudaTensor o = ((CudaTensor) out).wide(w.in(), "the output of an embedding").holding(0, rows);
        for (int r = 0; r < rows; r++) {
            if (ids[r] < 0 || ids[r] >= w.out()) {
                throw new IndexOutOfBoundsException("row " + ids[r] + " of a table of " + w.out());
            }
        }
        if (rows > 0) {
            long list = device.tables().add(ids, rows);
            device.arguments().at(w.address()).at(list).at(o.address()).with(w.number()).with(w.in()).with(Math.toIntExact(w.rowBytes()))
                    .with(o.columns()).with(scale);
            device.launch("embed", rows, 1, THREADS);
        }
    }

    @Override
    public void norm(NormKind kind, float epsilon, Tensor weight, Tensor bias, int group, Tensor x, int rows, Tensor out) {
        norm(kind, epsilon, weight, bias, group, null, x, rows, out);
    }

    @Override
    public void norm(NormKind kind, float epsilon, Tensor weight, Tensor bias, int group, Tensor addend, Tensor x, int rows, Tensor out) {
        CudaTensor in = ((CudaTensor) x).holding(0, rows);
        CudaTensor o = ((CudaTensor) out).wide(in.columns(), "the output of a norm").holding(0, rows);
        CudaTensor y = addend == null ? null : ((CudaTensor) addend).wide(in.columns(), "a summand").holding(0, rows);
        if (group < 1 || in.columns() % group != 0) {
            throw new IllegalArgumentException("a norm over " + group + " of " + in.columns() + " columns");
        }
        for (Tensor vector : new Tensor[] {weight, bias}) {
            if (vector != null) {
                ((CudaTensor) vector).wide(group, "a norm's weight or bias");
            }
        }
        if (rows > 0) {
            device.arguments().at(in.address()).at(addressOf((CudaTensor) weight)).at(addressOf((CudaTensor) bias)).at(o.address()).at(addressOf(y))
                    .with(kind == NormKind.LAYER ? 1 : 0).with(group).with(in.columns()).with(o.columns()).with(y == null ? 0 : y.columns()).with(epsilon);
            device.launch("normalise", in.columns() / group, rows, Math.min(MOST_THREADS, Products.tiles(group, 4 * WARP) * WARP));
        }
    }

    @Override
    public void linear(Tensor x, int firstRow, int rows, List<Projection> projections) {
        CudaTensor in = ((CudaTensor) x).holding(firstRow, rows);
        for (Projection p : projections) {
            CudaWeight w = (CudaWeight) p.weight();
            in.wide(w.in(), "the input of a linear layer");
            ((CudaTensor) p.out()).wide(w.out(), "the output of a linear layer").holding(firstRow, rows);
            if (p.bias() != null) {
                ((CudaTensor) p.bias()).wide(w.out(), "a bias").holding(0, 1);
            }
        }
        products.linear(in, firstRow, rows, projections);
    }

    @Override
    public void lowRank(Tensor x, List<LowRank> items) {
        CudaTensor in = (CudaTensor) x;
        for (LowRank item : items) {
            if (item.a().out() != item.b().in()) {
                throw new IllegalArgumentException("a low-rank pair of ranks " + item.a().out() + " and " + item.b().in());
            }
            in.wide(item.a().in(), "the input of a low-rank pair").holding(item.firstRow(), item.rows());
            ((CudaTensor) item.out()).wide(item.b().out(), "the output of a low-rank pair").holding(item.firstRow(), item.rows());
        }
        products.lowRank(in, items);
    }

    @Override
    public void rotary(RotaryTable table, boolean interleaved, Tensor x, int rows, int headDim, int[] positions) {
        CudaRotaryTable t = (CudaRotaryTable) table;
        CudaTensor m = ((CudaTensor) x).holding(0, rows);
        turnable(t, m, rows, headDim, positions);
        if (rows > 0) {
            long list = attention.positions(positions, rows);
            device.arguments().at(m.address()).at(t.address()).at(list).with(m.columns()).with(headDim).with(t.pairs()).with(interleaved ? 1 : 0);
            device.launch("rotary", rows, 1, THREADS);
        }
    }

    private static void turnable(CudaRotaryTable table, CudaTensor x, int rows, int headDim, int[] positions) {
        if (2 * table.pairs() > headDim || x.columns() % headDim != 0) {
            throw new IllegalArgumentException("rotation of " + table.pairs() + " pairs in heads of " + headDim + ", " + x.columns() + " columns");
        }
        for (int r = 0; r < rows; r++) {
            if (positions[r] < 0 || positions[r] >= table.positions()) {
                throw new IndexOutOfBoundsException("position " + positions[r] + " of a rotary table of " + table.positions());
            }
        }
    }

    @Override
    public void writeKv(KvCache cache, int layer, Tensor keys, Tensor values, Batch batch) {
        CudaKvCache c = (CudaKvCache) cache;
        int rows = batch.rows();
        CudaTensor k = ((CudaTensor) keys).wide(c.width(), "keys").holding(0, rows);
        CudaTensor v = ((CudaTensor) values).wide(c.width(), "values").holding(0, rows);
        if (rows > 0) {
            long slots = attention.slots(c, batch);
            device.arguments().at(k.address()).at(v.address()).at(c.keys(layer)).at(c.values(layer)).at(slots).with(c.kvHeads()).with(c.headDim())
                    .with(c.blockSize()).with(c.rounded() ? 1 : 0).with(k.columns()).with(v.columns());
            device.launch("write_kv", rows, 1, THREADS);
        }
    }

    @Override
    public void rotateAndStore(RotaryTable table, boolean interleaved, Tensor queries, Tensor keys, Tensor values, int headDim, KvCache cache, int layer,
            Batch batch) {
        CudaKvCache c = (CudaKvCache) cache;
        CudaRotaryTable t = (CudaRotaryTable) table;
        int rows = batch.rows();
        CudaTensor q = ((CudaTensor) queries).holding(0, rows);
        CudaTensor k = ((CudaTensor) keys).wide(c.width(), "keys").holding(0, rows);
        CudaTensor v = ((CudaTensor) values).wide(c.width(), "values").holding(0, rows);
        if (headDim != c.headDim() || q.columns() % headDim != 0) {
            throw new IllegalArgumentException("heads of " + headDim + " in " + q.columns() + " columns of queries, the cache's have " + c.headDim());
        }
        if (t != null) {
            turnable(t, q, rows, headDim, batch.positions());
        }
        if (rows > 0) {
            int heads = q.columns() / headDim;
            device.arguments().at(q.address()).at(k.address()).at(v.address()).at(c.keys(layer)).at(c.values(layer)).at(attention.slots(c, batch))
                    .at(t == null ? 0 : t.address()).at(t == null ? 0 : attention.positions(batch.positions(), rows)).with(heads).with(c.kvHeads())
                    .with(headDim).with(c.blockSize()).with(c.rounded() ? 1 : 0).with(q.columns()).with(k.columns()).with(v.columns())
                    .with(t == null ? 0 : t.pairs()).with(interleaved ? 1 : 0);
            device.launch("rotate_store", rows, Products.tiles(heads + 2 * c.kvHeads(), THREADS / WARP), THREADS);
        }
    }

    @Override
    public void attention(AttentionSpec spec, Tensor queries, KvCache cache, int layer, Batch batch, Tensor out) {
        CudaKvCache c = (CudaKvCache) cache;
        int rows = batch.rows();
        CudaTensor q = ((CudaTensor) queries).wide(spec.heads() * spec.headDim(), "queries").holding(0, rows);
        CudaTensor o = ((CudaTensor) out).wide(spec.heads() * spec.headDim(), "the output of attention").holding(0, rows);
        if (rows > 0) {
            attention.attend(spec, q, c, layer, batch, o);
        }
    }

    @Override
    public void activate(Activation f, Tensor gate, Tensor up, int rows, Tensor out) {
        CudaTensor g = ((CudaTensor) gate).holding(0, rows);
        CudaTensor o = ((CudaTensor) out).wide(g.columns(), "the output of an activation").holding(0, rows);
        CudaTensor u = up == null ? null : ((CudaTensor) up).wide(g.columns(), "the up projection").holding(0, rows);
        if (rows > 0) {
            device.arguments().at(g.address()).at(addressOf(u)).at(o.address()).with(number(f)).with(g.columns()).with(g.columns())
                    .with(u == null ? 0 : u.columns()).with(o.columns());
            columns("activate", Products.tiles(g.columns(), VECTOR), rows);
        }
    }

    /** How many different steps run as graphs. */
    int graphs() {
        return device.graphs();
    }

    private static int number(Activation f) {
        return switch (f) {
            case SILU -> 0;
            case GELU -> 1;
            case GELU_TANH -> 2;
            case RELU -> 3;
            case QUICK_GELU -> 4;
            case TANH -> 5;
        };
    }

    /** @param columns threads of a row */
    private void columns(String kernel, int columns, int rows) {
        device.launch(kernel, Products.tiles(columns, THREADS), rows, THREADS);
    }

    @Override
    public void add(Tensor x, Tensor y, int rows) {
        addRows(y, 0, x, 0, rows, 1);
    }

    @Override
    public boolean sample(Tensor logits, int rows, Draw[] draws, int[] tokens) {
        CudaTensor t = ((CudaTensor) logits).holding(0, rows);
        if (Arrays.stream(draws, 0, rows).allMatch(Objects::isNull)) {
            return false;
        }
        long ids = scratch.floats("tokens", rows);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment table = arena.allocate((long) DRAW * rows, 8);
            for (int r = 0; r < rows; r++) {
                if (draws[r] != null) {
                    write(draws[r], table.asSlice((long) DRAW * r, DRAW));
                }
            }
            device.arguments().at(t.address()).at(device.tables().add(table)).at(ids).with(t.columns()).with(t.columns());
            device.launch("sample", rows, 1, SAMPLE_THREADS);
            MemorySegment chosen = arena.allocate(4L * rows, 4);
            device.download(ids, chosen);
            for (int r = 0; r < rows; r++) {
                if (draws[r] != null) {
                    tokens[r] = chosen.getAtIndex(ValueLayout.JAVA_INT, r);
                }
            }
        }
        return true;
    }

    /** {@code Draw} of sample.cu. */
    private static void write(Draw draw, MemorySegment to) {
        to.set(ValueLayout.JAVA_DOUBLE, 0, draw.uniform());
        to.set(ValueLayout.JAVA_FLOAT, 8, draw.temperature());
        to.set(ValueLayout.JAVA_FLOAT, 12, draw.topP());
        to.set(ValueLayout.JAVA_FLOAT, 16, draw.minP());
        to.set(ValueLayout.JAVA_INT, 20, draw.topK());
        to.set(ValueLayout.JAVA_INT, 24, 1);
    }

    @Override
    public void gather(Tensor x, int[] rows, int count, Tensor out) {
        CudaTensor from = (CudaTensor) x;
        for (int i = 0; i < count; i++) {
            from.holding(rows[i], 1);
        }
        if (count > 0) {
            long list = device.tables().add(rows, count);
            rows(from, list, 0, ((CudaTensor) out).wide(from.columns(), "the output of a gather"), 0, from.columns(), count, false, 0);
        }
    }

    @Override
    public void addRows(Tensor x, int xRow, Tensor out, int outRow, int rows, float factor) {
        CudaTensor to = (CudaTensor) out;
        rows(((CudaTensor) x).wide(to.columns(), "a summand").holding(xRow, rows), 0, xRow, to, outRow, to.columns(), rows, true, factor);
    }

    @Override
    public void copyRows(Tensor x, int xRow, Tensor out, int outRow, int rows) {
        CudaTensor from = ((CudaTensor) x).holding(xRow, rows);
        rows(from, 0, xRow, ((CudaTensor) out).wide(from.columns(), "the output of a copy"), outRow, from.columns(), rows, false, 0);
    }

    private void rows(CudaTensor from, long list, int fromRow, CudaTensor to, int toRow, int columns, int rows, boolean add, float factor) {
        to.holding(toRow, rows);
        if (rows > 0) {
            device.arguments().at(from.address()).at(to.address()).at(list).with(columns).with(fromRow).with(toRow).with(from.columns())
                    .with(to.columns()).with(add ? 1 : 0).with(factor);
            columns("rows", Products.tiles(columns, VECTOR), rows);
        }
    }

    @Override
    public void scaleShift(Tensor x, int firstRow, int rows, Tensor scale, Tensor shift) {
        CudaTensor t = ((CudaTensor) x).holding(firstRow, rows);
        for (Tensor vector : new Tensor[] {scale, shift}) {
            if (vector != null) {
                ((CudaTensor) vector).wide(t.columns(), "a scale or shift").holding(0, 1);
            }
        }
        if (rows > 0) {
            device.arguments().at(t.address()).at(addressOf((CudaTensor) scale)).at(addressOf((CudaTensor) shift)).with(t.columns()).with(firstRow);
            columns("scale_shift", t.columns(), rows);
        }
    }

    @Override
    public void turnPairs(Tensor x, int firstRow, int rows, int group, Tensor cos, Tensor sin) {
        CudaTensor t = ((CudaTensor) x).holding(firstRow, rows);
        if (group < 2 || group % 2 != 0 || t.columns() % group != 0) {
            throw new IllegalArgumentException("pairs in groups of " + group + " of " + t.columns() + " columns");
        }
        CudaTensor c = ((CudaTensor) cos).wide(t.columns(), "cosines").holding(0, 1);
        CudaTensor s = ((CudaTensor) sin).wide(t.columns(), "sines").holding(0, 1);
        if (rows > 0) {
            device.arguments().at(t.address()).at(c.address()).at(s.address()).with(t.columns()).with(firstRow).with(group);
            columns("turn_pairs", t.columns() / 2, rows);
        }
    }

    @Override
    public void close() {
        scratch.close();
        device.close();
    }
}
