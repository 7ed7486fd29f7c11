package dev.polyphon.measure.kernels;

import dev.polyphon.engine.backend.AttentionSpec;
import dev.polyphon.engine.backend.Batch;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.weights.DType;
import java.util.Arrays;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** Attention of 32 heads of 64 that share 8 heads of keys and values, over paged keys and values. */
@State(Scope.Benchmark)
public class AttentionBenchmark {
    private static final AttentionSpec SPEC = new AttentionSpec(32, 8, 64, 0.125f, 0, 0, null);
    private static final int BLOCK = 32;
    private static final int LAYERS = 4;

    /** Sequences x rows of each @ positions before them: one and 16 that decode, prompts whole and in chunks. */
    @Param({"1x1@512", "16x1@512", "16x1@2048", "1x128@0", "1x512@0", "1x128@896"})
    public String load;

    private Batch batch;
    private KvCache cache;
    private Tensor queries;
    private Tensor keys;
    private Tensor out;
    private double elementBytes;
    private double bytes;
    private double macs;
    private int layer;

    @Setup
    public void make(Device device) {
        int[] parts = Arrays.stream(load.split("[x@]")).mapToInt(Integer::parseInt).toArray();
        int sequences = parts[0];
        int rows = parts[1];
        int before = parts[2];
        int blocks = (before + rows + BLOCK - 1) / BLOCK;
        int[] positions = new int[sequences * rows];
        int[] first = new int[sequences + 1];
        int[][] tables = new int[sequences][blocks];
        for (int s = 0; s < sequences; s++) {
            first[s + 1] = (s + 1) * rows;
            for (int r = 0; r < rows; r++) {
                positions[s * rows + r] = before + r;
            }
            for (int b = 0; b < blocks; b++) {
                tables[s][b] = b * sequences + s;
            }
        }
        batch = new Batch(new int[positions.length], positions, first, tables);
        DType type = device.kernels.kvType(DType.F16);
        elementBytes = type.bytes(32) / 32.0;
        cache = device.own(device.kernels.kvCache(LAYERS, SPEC.kvHeads(), SPEC.headDim(), sequences * blocks, BLOCK, type).openAll());
        queries = device.tensor(positions.length, SPEC.heads() * SPEC.headDim());
        out = device.tensor(positions.length, SPEC.heads() * SPEC.headDim());
        int width = SPEC.kvHeads() * SPEC.headDim();
        keys = device.tensor(positions.length, width);
        fill(device, sequences, before + rows, tables, width);
        bytes = 2.0 * sequences * (before + rows) * width * elementBytes;
        macs = 2.0 * SPEC.heads() * SPEC.headDim() * sequences * rows * (before + (rows + 1) / 2.0);
    }

    private static int[] upTo(int n) {
        int[] all = new int[n];
        Arrays.setAll(all, i -> i);
        return all;
    }

    private void fill(Device device, int sequences, int length, int[][] tables, int width) {
        Tensor values = device.tensor(length, width);
        for (int s = 0; s < sequences; s++) {
            Batch whole = new Batch(new int[length], upTo(length), new int[] {0, length}, new int[][] {tables[s]});
            for (int l = 0; l < LAYERS; l++) {
                device.kernels.writeKv(cache, l, values, values, whole);
            }
        }
    }

    @Benchmark
    public void attention(Device device, Work work) {
        layer = (layer + 1) % LAYERS;
        device.kernels.attention(SPEC, queries, cache, layer, batch, out);
        work.did(bytes, macs);
    }

    @Benchmark
    public void writeKv(Device device, Work work) {
        layer = (layer + 1) % LAYERS;
        device.kernels.writeKv(cache, layer, keys, keys, batch);
        work.did(2.0 * keys.rows() * keys.columns() * (Float.BYTES + elementBytes), 0);
    }
}
