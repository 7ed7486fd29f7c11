package dev.polyphon.engine.backend.cuda;

import static dev.polyphon.engine.backend.cuda.CudaTensor.addressOf;

import dev.polyphon.engine.backend.LowRank;
import dev.polyphon.engine.backend.Projection;
import dev.polyphon.engine.weights.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/** Launches linear layers and low-rank deltas. */
final class Products {
    private static final int WARPS = 4;
    private static final int THREADS = 128;
    private static final int ROW_TILE = 8;
    private static final int PRODUCT_THREADS = 256;
    /** Blocks of product_bf16 that a multiprocessor has room for. */
    private static final int RESIDENT = 2;
    private static final int PROJECTION = 40;
    private static final DType[] TYPES = {DType.F32, DType.F16, DType.BF16, DType.Q8_0, DType.Q4_0, DType.Q4_1, DType.Q4_K, DType.Q5_K, DType.Q6_K};

    private final Device device;
    private final Scratch scratch;
    private final Precision precision;
    private final Known<List<Projection>, List<OfOneType>> types = new Known<>(OfOneType::all);
    private final Known<List<LowRank>, LowRankTable> lowRanks = new Known<>(LowRankTable::new);

    Products(Device device, Scratch scratch, Precision precision) {
        this.device = device;
        this.scratch = scratch;
        this.precision = precision;
    }

    static int tiles(int n, int tile) {
        return (n + tile - 1) / tile;
    }

    /** A kernel of product.cu for so many rows: how many outputs and rows a block has. */
    private record Shape(String suffix, int outs, int rows) {
        static final Shape FEW = new Shape("_8", 16, 8);
        static final Shape SOME = new Shape("_32", 32, 32);
        static final Shape MANY = new Shape("_64", 32, 64);
        static final Shape WIDE = new Shape("wide", 128, 128);

        static Shape of(DType type, int in, int rows, int sharedBytes) {
            if (rows <= FEW.rows) {
                return FEW;
            }
            if (rows <= SOME.rows) {
                return SOME;
            }
            return rows > MANY.rows && type == DType.BF16 && in % 8 == 0 && sharedBytes >= Sources.WIDE_BYTES ? WIDE : MANY;
        }

        String kernel(int number) {
            return this == WIDE ? "product_wide" : "product_" + number + suffix;
        }
    }

    void linear(CudaTensor x, int firstRow, int rows, List<Projection> projections) {
        if (rows == 0) {
            return;
        }
        if (precision == Precision.F32) {
            for (Projection p : projections) {
                exact(x, firstRow, rows, p);
            }
            return;
        }
        for (OfOneType same : types.of(projections)) {
            rounded(x, firstRow, rows, projections, same);
        }
    }

    /** Projections that share their weights' type; its number. */
    private record OfOneType(DType type, int number, List<Projection> projections) {
        static List<OfOneType> all(List<Projection> projections) {
            List<OfOneType> all = new ArrayList<>();
            for (int number = 0; number < TYPES.length; number++) {
                DType type = TYPES[number];
                List<Projection> same = projections.stream().filter(p -> p.weight().out() > 0 && ((CudaWeight) p.weight()).type() == type).toList();
                if (!same.isEmpty()) {
                    all.add(new OfOneType(type, number, same));
                }
            }
            return List.copyOf(all);
        }

        int blocks(Shape shape) {
            int blocks = 0;
            for (Projection p : projections) {
                blocks += tiles(p.weight().out(), shape.outs);
            }
            return blocks;
        }
    }

    private void exact(CudaTensor x, int firstRow, int rows, Projection p) {
        CudaWeight w = (CudaWeight) p.weight();
        CudaTensor o = (CudaTensor) p.out();
        if (w.out() > 0) {
            device.arguments().at(w.address()).at(x.address()).at(addressOf((CudaTensor) p.bias())).at(o.address())
                    .with(w.number()).with(w.in()).with(w.out()).with(Math.toIntExact(w.rowBytes())).with(firstRow).with(rows).with(x.columns())
                    .with(o.columns());
            device.launch("linear", tiles(w.out(), WARPS), tiles(rows, ROW_TILE), THREADS);
        }
    }

    private void rounded(CudaTensor x, int firstRow, int rows, Object owner, OfOneType same) {
        DType type = same.type;
        int in = same.projections.getFirst().weight().in();
        Shape shape = Shape.of(type, in, rows, device.sharedBytes());
        long copy = 0;
        int padded = tiles(in, 32) * 32;
        if (type == DType.BF16 && shape != Shape.FEW) {
            copy = scratch.floats("rounded rows", (long) rows * padded / 2);
            device.arguments().at(x.row(firstRow)).at(copy).with(in).with(x.columns()).with(padded);
            device.launch("round_rows", tiles(padded / 8, THREADS), rows, THREADS);
        }
        long table = device.tables().keep(owner, same.number << 16 | shape.outs, (long) PROJECTION * same.projections.size(),
                to -> write(same.projections, shape, to));
        int blocks = same.blocks(shape);
        device.arguments().at(table).at(x.row(firstRow)).at(copy).with(same.projections.size()).with(in).with(firstRow).with(rows).with(x.columns()).with(padded)
                .with(blocks);
        int rowTiles = tiles(rows, shape.rows);
        if (shape == Shape.WIDE) {
            device.launch(shape.kernel(same.number), rowTiles, blocks, PRODUCT_THREADS);
        } else {
            device.launch(shape.kernel(same.number), type == DType.BF16 ? Math.min(blocks, RESIDENT * device.multiprocessors()) : blocks, rowTiles, PRODUCT_THREADS);
        }
    }

    /** {@code Projection} of product.cu. */
    private static void write(List<Projection> projections, Shape shape, MemorySegment to) {
        int block = 0;
        long at = 0;
        for (Projection p : projections) {
            CudaWeight w = (CudaWeight) p.weight();
            CudaTensor out = (CudaTensor) p.out();
            to.set(ValueLayout.JAVA_LONG, at, w.address());
            to.set(ValueLayout.JAVA_LONG, at + 8, addressOf((CudaTensor) p.bias()));
            to.set(ValueLayout.JAVA_LONG, at + 16, out.address());
            int[] numbers = {w.out(), Math.toIntExact(w.rowBytes()), out.columns(), block};
            MemorySegment.copy(numbers, 0, to, ValueLayout.JAVA_INT, at + 24, numbers.length);
            block += tiles(w.out(), shape.outs);
            at += PROJECTION;
        }
    }

    void lowRank(CudaTensor x, List<LowRank> items) {
        LowRankTable table = lowRanks.of(items);
        if (table.shrinkTiles() == 0) {
            return;
        }
        long products = scratch.floats("products of low rank", table.shrunkFloats());
        long at = device.tables().keep(items, 0, table.bytes(), table::write);
        device.arguments().at(at).at(at + table.shrinkAt()).at(x.address()).at(products).with(x.columns());
        device.launch("low_rank_shrink", table.shrinkTiles(), 1, LowRankTable.SHRINK_THREADS);
        device.arguments().at(at).at(at + table.expandAt()).at(products);
        device.launch("low_rank_expand", table.expandTiles(), 1, LowRankTable.EXPAND_THREADS);
    }
}
