package dev.polyphon.measure.step;

import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.backend.Batch;
import dev.polyphon.engine.backend.Draw;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.model.AdapterPlan;
import dev.polyphon.engine.model.AdapterWeights.Prefix;
import dev.polyphon.engine.model.ArchitectureSpec;
import dev.polyphon.engine.model.BaseWeights;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Decoder;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.model.Site;
import dev.polyphon.engine.sample.Sampler;
import dev.polyphon.engine.sample.Vocabulary;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.runtime.Sampling;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/** A model ready to compute steps. */
public final class Rig implements AutoCloseable {
    static final int MOST_SEQUENCES = 16;
    private static final int BLOCK = 32;

    private final Room room;
    private final Owned owned = new Owned();
    private final Checkpoint checkpoint;
    private final Kernels kernels;
    private final Decoder decoder;
    private final KvCache cache;
    private final Sampler sampler;
    private final Draw[] draws;
    private final int[] tokens;
    private final float[] logits;
    final KernelClock clock;

    /**
     * What a rig has room for.
     *
     * @param sequences most at once
     * @param positions most of a sequence
     * @param rows most of a step
     */
    public record Room(int sequences, int positions, int rows) {}

    /** On the CPU, its operations timed, with room for 16 sequences of 1024 positions. */
    Rig(Path model, String device, int threads) throws IOException {
        this(model, CpuKernels.open(threads == 0 ? Runtime.getRuntime().availableProcessors() : threads, !device.equals("cpu:vector")),
                new Room(MOST_SEQUENCES, 1024, 512), true);
    }

    /** @param computing closed with the rig */
    public Rig(Path model, Kernels computing, Room room) throws IOException {
        this(model, computing, room, false);
    }

    private Rig(Path model, Kernels computing, Room room, boolean timed) throws IOException {
        this.room = room;
        owned.own(computing);
        checkpoint = owned.own(Checkpoint.open(model));
        ArchitectureSpec spec = checkpoint.spec();
        clock = new KernelClock(spec);
        kernels = timed ? clock.before(computing) : computing;
        BaseWeights weights = owned.own(new BaseWeights(kernels, checkpoint));
        decoder = owned.own(new Decoder(kernels, spec, weights, room.rows, room.sequences, room.positions));
        DType type = kernels.kvType(checkpoint.required(new Site(0, Module.K)).weight().dtype());
        int blocks = room.sequences * room.positions / BLOCK;
        cache = owned.own(kernels.kvCache(spec.layers().size(), spec.kvHeads(), spec.headDim(), blocks, BLOCK, type).openAll());
        sampler = new Sampler(Sampling.greedy(-1), 1, new int[0], new Vocabulary(spec.vocabulary(), Set.of(), _ -> new byte[0]));
        draws = new Draw[room.sequences];
        Arrays.fill(draws, sampler.draw());
        tokens = new int[room.sequences];
        logits = new float[room.sequences * spec.vocabulary()];
    }

    public Checkpoint checkpoint() {
        return checkpoint;
    }

    /** Bytes of a position's keys and values. */
    public long kvBytes() {
        return cache.blockBytes() / BLOCK;
    }

    public LoadedAdapter adapter(Path folder, String task) throws IOException {
        return AdapterFolder.open(folder).load(folder.getFileName().toString(), task, checkpoint, kernels);
    }

    /**
     * Work for {@link #run}.
     *
     * @param batches one after the other
     * @param logitRows of the last batch
     */
    public record Load(List<Batch> batches, AdapterPlan plan, int[] logitRows) {}

    /** Sequences that go on from a position: a row of each. */
    public Load decode(int sequences, int position, List<LoadedAdapter> adapters) {
        int prefix = adapters.isEmpty() ? 0 : prefix(adapters.getFirst());
        int[] each = new int[sequences];
        Arrays.setAll(each, i -> i);
        return new Load(List.of(batch(sequences, prefix + position, 1)), plan(sequences, 1, adapters), each);
    }

    /** Sequences that go on from a position, a row of each. @param adapters of each sequence; null for none */
    Load decodeEach(int position, List<LoadedAdapter> adapters) {
        List<AdapterPlan.Segment> segments = new ArrayList<>();
        Batch batch = batch(adapters.size(), position, 1);
        int[] each = new int[adapters.size()];
        for (int s = 0; s < each.length; s++) {
            each[s] = s;
            if (adapters.get(s) != null) {
                segments.add(new AdapterPlan.Segment(adapters.get(s).weights(), s, 1));
                batch.positions()[s] += prefix(adapters.get(s));
            }
        }
        return new Load(List.of(batch), new AdapterPlan(segments), each);
    }

    /** A prompt read in chunks. */
    public Load prompt(int length, int chunk, List<LoadedAdapter> adapters) {
        List<Batch> batches = new ArrayList<>();
        for (int at = 0; at < length; at += chunk) {
            batches.add(batch(1, at, Math.min(chunk, length - at)));
        }
        return new Load(batches, plan(1, chunk, adapters), new int[] {batches.getLast().rows() - 1});
    }

    /** Adapters by turns; one alone has all rows in one segment. */
    private static AdapterPlan plan(int sequences, int rows, List<LoadedAdapter> adapters) {
        List<AdapterPlan.Segment> segments = new ArrayList<>();
        if (adapters.size() == 1) {
            segments.add(new AdapterPlan.Segment(adapters.getFirst().weights(), 0, sequences * rows));
        } else {
            for (int s = 0; s < sequences && !adapters.isEmpty(); s++) {
                segments.add(new AdapterPlan.Segment(adapters.get(s % adapters.size()).weights(), s * rows, rows));
            }
        }
        return segments.isEmpty() ? AdapterPlan.NONE : new AdapterPlan(segments);
    }

    private static int prefix(LoadedAdapter adapter) {
        Prefix prefix = adapter.weights().prefix();
        return prefix == null ? 0 : prefix.length();
    }

    private Batch batch(int sequences, int position, int rows) {
        int[] tokens = new int[sequences * rows];
        int[] positions = new int[sequences * rows];
        int[] first = new int[sequences + 1];
        int[][] blocks = new int[sequences][room.positions / BLOCK];
        for (int s = 0; s < sequences; s++) {
            first[s + 1] = (s + 1) * rows;
            for (int b = 0; b < blocks[s].length; b++) {
                blocks[s][b] = s + b * room.sequences;
            }
            for (int r = 0; r < rows; r++) {
                tokens[s * rows + r] = (7919 * (s + 1) + 104729 * r) % checkpoint.spec().vocabulary();
                positions[s * rows + r] = position + r;
            }
        }
        return new Batch(tokens, positions, first, blocks);
    }

    /** Computes the load, and chooses its tokens; nanoseconds. */
    public long run(Load load) {
        long start = System.nanoTime();
        boolean chosen = false;
        for (int i = 0; i < load.batches.size(); i++) {
            int count = i == load.batches.size() - 1 ? load.logitRows.length : 0;
            chosen = decoder.forward(load.batches.get(i), load.plan, cache, Decoder.Hidden.NONE, Decoder.Read.NONE, load.logitRows, count, draws, tokens, logits);
        }
        long forwarded = System.nanoTime();
        for (int i = 0; i < load.logitRows.length && !chosen; i++) {
            sampler.next(logits, i * checkpoint.spec().vocabulary());
        }
        long end = System.nanoTime();
        clock.add("sampling", end - forwarded);
        return end - start;
    }

    @Override
    public void close() {
        owned.close();
    }
}
