package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.AttentionSpec;
import dev.polyphon.engine.backend.Batch;
import dev.polyphon.engine.backend.Draw;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.backend.Projection;
import dev.polyphon.engine.backend.RotaryTable;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.model.AdapterPlan.Effects;
import dev.polyphon.engine.model.AdapterPlan.Pass;
import dev.polyphon.engine.model.AdapterPlan.Segment;
import dev.polyphon.engine.model.AdapterPlan.Use;
import dev.polyphon.engine.model.AdapterWeights.Prefix;
import dev.polyphon.engine.model.ArchitectureSpec.Block;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import java.util.Objects;

/**
 * A decoder-only transformer over one set of base weights, computed as its {@link ArchitectureSpec} says. One step runs all rows of a batch, with
 * their adapters, through every layer; the rows' keys and values are left in the cache.
 *
 * <p>Not thread-safe: one thread runs the steps. It owns its activation buffers, not the weights.
 */
public final class Decoder implements AutoCloseable {
    private final Kernels kernels;
    private final ArchitectureSpec spec;
    private final BaseWeights weights;
    private final int maxRows;
    private final int maxLogitRows;
    private final List<Layer> layers = new ArrayList<>();
    private final Owned owned = new Owned();
    private final FormKernels forms;
    private final ExpertMixture mixture;
    private int groups;
    private Probe probe;

    private final Tensor x;
    private final Tensor normed;
    private final Tensor mlpNormed;
    private final Tensor q;
    private final Tensor k;
    private final Tensor v;
    private final Tensor attended;
    private final Tensor attentionOut;
    private final Tensor gate;
    private final Tensor up;
    private final Tensor mlpOut;
    private final Tensor selected;
    private final Tensor logits;
    private final ModuleGroup headGroup;

    /** What one layer needs, laid out once. */
    private record Layer(
            LayerWeights weights,
            AttentionSpec attention,
            RotaryTable rotary,
            boolean interleaved,
            ModuleGroup attentionIn,
            ModuleGroup attentionOut,
            List<Mlp> mlps,
            ModuleGroup router) {}

    /**
     * Hidden states that a step is asked for: what the final norm makes of rows of the batch.
     *
     * @param rows in ascending order
     * @param count how many of them
     * @param out receives {@code count} rows of the model's width
     */
    public record Hidden(int[] rows, int count, float[] out) {
        /** None is wanted. */
        public static final Hidden NONE = new Hidden(new int[0], 0, new float[0]);
    }

    /**
     * Logits that a step is asked for only to be looked at: of as many rows as there are, in parts, so that they are never there all at once.
     *
     * @param rows of the batch, in ascending order
     * @param count how many of them
     */
    public record Read(int[] rows, int count, Reader reader) {
        /** None is wanted. */
        public static final Read NONE = new Read(new int[0], 0, (index, row, logits, from) -> {});

        /** Looks at the logits of one row. */
        public interface Reader {
            /**
             * @param index of the row among those asked for
             * @param logits the vocabulary's, from {@code from} on, during the call
             */
            void row(int index, int row, float[] logits, int from);
        }
    }

    /** An MLP's linear layers before and after its activation. */
    private record Mlp(ModuleGroup in, ModuleGroup out) {}

    /**
     * @param maxRows most rows of a step
     * @param maxLogitRows most rows whose logits a step may ask for
     * @param context positions that sequences may reach; at most the spec's
     */
    public Decoder(Kernels kernels, ArchitectureSpec spec, BaseWeights weights, int maxRows, int maxLogitRows, int context) {
        this.kernels = kernels;
        this.spec = spec;
        this.weights = weights;
        this.maxRows = maxRows;
        this.maxLogitRows = maxLogitRows;
        forms = owned.own(new FormKernels(kernels, maxRows));
        mixture = spec.experts() == null ? null : owned.own(new ExpertMixture(kernels, spec, maxRows));
        x = buffer(spec.hidden());
        normed = buffer(spec.hidden());
        mlpNormed = spec.block() == Block.PARALLEL ? buffer(spec.hidden()) : normed;
        q = buffer(spec.queryWidth());
        k = buffer(spec.kvWidth());
        v = buffer(spec.kvWidth());
        attended = buffer(spec.queryWidth());
        attentionOut = buffer(spec.hidden());
        gate = spec.gated() ? buffer(spec.intermediate()) : null;
        up = buffer(spec.intermediate());
        mlpOut = buffer(spec.hidden());
        selected = owned.own(kernels.tensor(maxLogitRows, spec.hidden()));
        logits = owned.own(kernels.tensor(maxLogitRows, spec.vocabulary()));
        List<RotaryTable> tables = new ArrayList<>();
        for (RotarySpec rotary : spec.rotaries()) {
            tables.add(owned.own(kernels.rotaryTable(rotary.inverseFrequencies(context), rotary.magnitude(), context)));
        }
        for (int i = 0; i < spec.layers().size(); i++) {
            layers.add(layer(i, tables));
        }
        headGroup = group(-1, -1, List.of(Module.HEAD), projection(weights.head, logits));
    }

    private Layer layer(int i, List<RotaryTable> tables) {
        LayerWeights w = weights.layers.get(i);
        ArchitectureSpec.LayerSpec layer = spec.layers().get(i);
        AttentionSpec attention = new AttentionSpec(spec.heads(), spec.kvHeads(), spec.headDim(), spec.attentionScale(), layer.window(),
                spec.attentionSoftCap(), spec.alibi() ? spec.alibiSlopes() : null);
        boolean rotates = layer.rotary() >= 0;
        return new Layer(w, attention, rotates ? tables.get(layer.rotary()) : null,
                rotates && spec.rotaries().get(layer.rotary()).interleaved(),
                group(i, -1, List.of(Module.Q, Module.K, Module.V), projection(w.q(), q), projection(w.k(), k), projection(w.v(), v)),
                group(i, -1, List.of(Module.O), projection(w.o(), attentionOut)),
                mlps(i, w),
                mixture == null ? null : group(i, -1, List.of(Module.ROUTER), projection(w.router(), mixture.scores())));
    }

    private List<Mlp> mlps(int layer, LayerWeights weights) {
        List<Mlp> mlps = new ArrayList<>();
        for (LayerWeights.Mlp w : weights.mlps()) {
            int expert = mixture == null ? -1 : mlps.size();
            mlps.add(new Mlp(
                    spec.gated()
                            ? group(layer, expert, List.of(Module.GATE, Module.UP), projection(w.gate(), gate), projection(w.up(), up))
                            : group(layer, expert, List.of(Module.UP), projection(w.up(), up)),
                    group(layer, expert, List.of(Module.DOWN), projection(w.down(), mixture == null ? mlpOut : mixture.expertOut()))));
        }
        return List.copyOf(mlps);
    }

    private ModuleGroup group(int layer, int expert, List<Module> modules, Projection... projections) {
        return new ModuleGroup(groups++, layer, expert, modules, List.of(projections));
    }

    private static Projection projection(Linear linear, Tensor out) {
        return new Projection(linear.weight(), linear.bias(), out);
    }

    /** Has another look on at what adapters' neurons read in the steps from now on; null for nobody. */
    public void watch(Probe by) {
        probe = by;
        forms.watch(by);
    }

    public int maxRows() {
        return maxRows;
    }

    public int maxLogitRows() {
        return maxLogitRows;
    }

    /** Numbers of a hidden state. */
    public int width() {
        return spec.hidden();
    }

    /**
     * Runs one step.
     *
     * @param logitRows rows of the batch whose next-token logits are wanted
     * @param count how many of them
     * @param out receives {@code count} rows of {@code vocabulary} logits, in the order asked
     */
    public void forward(Batch batch, AdapterPlan plan, KvCache cache, int[] logitRows, int count, float[] out) {
        forward(batch, plan, cache, Hidden.NONE, Read.NONE, logitRows, count, null, null, out);
    }

    /**
     * Runs one step, and chooses tokens where the device does that.
     *
     * @param hidden the hidden states that are wanted as well
     * @param read the logits that are looked at as well, before any others are there; {@code out} has room for {@link #maxLogitRows} rows for that
     * @param draws how each row's token is chosen, null for rows whose logits are wanted; null altogether when all are
     * @param tokens receives the ids of rows that have a draw, when the device chose them
     * @param out receives the logits unless the device chose all tokens
     * @return whether the device chose the tokens of rows that have a draw
     */
    public boolean forward(Batch batch, AdapterPlan plan, KvCache cache, Hidden hidden, Read read, int[] logitRows, int count, Draw[] draws,
            int[] tokens, float[] out) {
        int rows = batch.rows();
        if (rows > maxRows || count > maxLogitRows) {
            throw new IllegalArgumentException("a step of " + rows + " rows and " + count + " logits; at most " + maxRows + " and "
                    + maxLogitRows);
        }
        kernels.begin(batch);
        embed(batch, plan, rows);
        // What is still to be added to x: the next norm does that on its way.
        Tensor owed = null;
        for (int i = 0; i < layers.size(); i++) {
            Layer layer = layers.get(i);
            attention(layer, i, batch, plan, cache, rows, owed);
            mlp(layer, i, plan, rows, spec.block() == Block.SEQUENTIAL ? attentionOut : null);
            if (spec.block() == Block.PARALLEL) {
                kernels.add(x, attentionOut, rows);
            }
            owed = mlpOut;
            if (plan.touches(Module.BLOCK)) {
                kernels.add(x, mlpOut, rows);
                owed = null;
                block(i, plan);
            }
        }
        if (owed != null) {
            kernels.add(x, owed, rows);
        }
        if (hidden.count > 0) {
            hidden(plan, hidden);
        }
        read(plan, read, out);
        boolean chosen = count > 0 && head(plan, logitRows, count, draws, tokens, out);
        kernels.end();
        return chosen;
    }

    /**
     * Runs the linear layers of one layer on whatever the buffers hold, with what adapters do there, and waits for the end: to see how long that takes.
     * Between steps; the next one is not affected.
     */
    public void rehearse(int index, AdapterPlan plan, int rows) {
        kernels.begin(new Batch(new int[rows], new int[rows], new int[] {0, rows}, new int[][] {{0}}));
        Layer layer = layers.get(index);
        linear(normed, rows, layer.attentionIn, plan);
        linear(attended, rows, layer.attentionOut, plan);
        mlp(layer, index, plan, rows, null);
        kernels.end();
    }

    /** Writes an adapter's keys and values for the positions before a sequence's first token. */
    public void writePrefix(Prefix.KeysValues prefix, int[] blocks, KvCache cache) {
        int[] positions = new int[prefix.length()];
        Arrays.setAll(positions, p -> p);
        Batch batch = new Batch(positions, positions, new int[] {0, positions.length}, new int[][] {blocks});
        for (int i = 0; i < layers.size(); i++) {
            kernels.writeKv(cache, i, prefix.keys().get(i), prefix.values().get(i), batch);
        }
    }

    private void embed(Batch batch, AdapterPlan plan, int rows) {
        int[] tokens = batch.tokens();
        int[] ids = tokens;
        if (Arrays.stream(tokens, 0, rows).anyMatch(t -> t < 0)) {
            ids = Arrays.stream(tokens, 0, rows).map(t -> Math.max(t, 0)).toArray();
        }
        kernels.embed(weights.embedding.weight(), ids, rows, spec.embeddingScale(), x);
        for (Segment segment : plan.segments()) {
            for (Form form : segment.adapter().at(-1, Module.EMBED)) {
                forms.embed(form, segment, tokens, spec.embeddingScale(), x);
            }
            if (ids != tokens && segment.adapter().prefix() instanceof Prefix.Embeddings(Tensor embeddings)) {
                for (int r = segment.firstRow(); r < segment.firstRow() + segment.rows(); r++) {
                    if (tokens[r] < 0) {
                        kernels.copyRows(embeddings, -1 - tokens[r], x, r, 1);
                    }
                }
            }
        }
        if (spec.positionOffset() >= 0) {
            int[] places = new int[rows];
            for (int r = 0; r < rows; r++) {
                places[r] = batch.positions()[r] + spec.positionOffset();
            }
            kernels.embed(weights.positions.weight(), places, rows, 1, normed);
            kernels.add(x, normed, rows);
        }
        norm(weights.embeddingNorm, -1, Module.EMBED_NORM, spec.hidden(), null, x, x, rows, plan);
    }

    private void attention(Layer layer, int index, Batch batch, AdapterPlan plan, KvCache cache, int rows, Tensor addend) {
        LayerWeights w = layer.weights;
        norm(w.attentionNorm(), index, Module.ATTENTION_NORM, spec.hidden(), addend, x, normed, rows, plan);
        linear(normed, rows, layer.attentionIn, plan);
        norm(w.qNorm(), index, Module.Q_NORM, spec.headDim(), null, q, q, rows, plan);
        norm(w.kNorm(), index, Module.K_NORM, spec.headDim(), null, k, k, rows, plan);
        kernels.rotateAndStore(layer.rotary, layer.interleaved, q, k, v, spec.headDim(), cache, index, batch);
        kernels.attention(layer.attention, q, cache, index, batch, attended);
        linear(attended, rows, layer.attentionOut, plan);
        norm(w.postAttentionNorm(), index, Module.POST_ATTENTION_NORM, spec.hidden(), null, attentionOut, attentionOut, rows, plan);
    }

    private void mlp(Layer layer, int index, AdapterPlan plan, int rows, Tensor addend) {
        LayerWeights w = layer.weights;
        boolean ownNorm = w.mlpNorm() != null;
        norm(w.mlpNorm(), index, Module.MLP_NORM, spec.hidden(), addend, x, mlpNormed, rows, plan);
        Tensor input = ownNorm ? mlpNormed : normed;
        if (mixture == null) {
            mlp(layer.mlps.getFirst(), input, rows, plan);
        } else {
            linear(input, rows, layer.router, plan);
            mixture.forward(input, rows, plan, (expert, in, count, own) -> mlp(layer.mlps.get(expert), in, count, own), mlpOut);
        }
        norm(w.postMlpNorm(), index, Module.POST_MLP_NORM, spec.hidden(), null, mlpOut, mlpOut, rows, plan);
    }

    private void block(int index, AdapterPlan plan) {
        if (plan.touches(Module.BLOCK)) {
            for (Segment segment : plan.segments()) {
                for (Form form : segment.adapter().at(index, Module.BLOCK)) {
                    forms.block((Form.Bottleneck) form, segment, x);
                }
            }
        }
    }

    private void mlp(Mlp mlp, Tensor in, int rows, AdapterPlan plan) {
        linear(in, rows, mlp.in, plan);
        if (spec.gated()) {
            kernels.activate(spec.activation(), gate, up, rows, up);
        } else {
            kernels.activate(spec.activation(), up, null, rows, up);
        }
        linear(up, rows, mlp.out, plan);
    }

    private void hidden(AdapterPlan plan, Hidden wanted) {
        AdapterPlan gathered = plan.touches(Module.FINAL_NORM) ? plan.gathered(wanted.rows, wanted.count) : AdapterPlan.NONE;
        kernels.gather(x, wanted.rows, wanted.count, normed);
        norm(weights.finalNorm, -1, Module.FINAL_NORM, spec.hidden(), null, normed, normed, wanted.count, gathered);
        kernels.read(normed, 0, wanted.count, wanted.out);
    }

    private void read(AdapterPlan plan, Read wanted, float[] out) {
        for (int first = 0; first < wanted.count; first += maxLogitRows) {
            int[] rows = Arrays.copyOfRange(wanted.rows, first, Math.min(wanted.count, first + maxLogitRows));
            head(plan, rows, rows.length, null, null, out);
            for (int i = 0; i < rows.length; i++) {
                wanted.reader.row(first + i, rows[i], out, i * spec.vocabulary());
            }
        }
    }

    private boolean head(AdapterPlan plan, int[] logitRows, int count, Draw[] draws, int[] tokens, float[] out) {
        AdapterPlan gathered = plan.touches(Module.HEAD) || plan.touches(Module.FINAL_NORM) ? plan.gathered(logitRows, count) : AdapterPlan.NONE;
        kernels.gather(x, logitRows, count, selected);
        norm(weights.finalNorm, -1, Module.FINAL_NORM, spec.hidden(), null, selected, selected, count, gathered);
        linear(selected, count, headGroup, gathered);
        boolean chosen = draws != null && spec.logitSoftCap() == 0 && kernels.sample(logits, count, draws, tokens);
        if (chosen && Arrays.stream(draws, 0, count).allMatch(Objects::nonNull)) {
            return true;
        }
        kernels.read(logits, 0, count, out);
        if (spec.logitSoftCap() > 0) {
            for (int i = 0; i < count * spec.vocabulary(); i++) {
                out[i] = (float) (spec.logitSoftCap() * Math.tanh(out[i] / spec.logitSoftCap()));
            }
        }
        return chosen;
    }

    private void linear(Tensor input, int rows, ModuleGroup group, AdapterPlan plan) {
        Effects effects = plan.effects(group);
        if (probe != null) {
            Stream.of(effects.lowRank(), effects.late()).flatMap(List::stream)
                    .forEach(delta -> probe.reads(delta.a(), input, delta.firstRow(), delta.rows()));
        }
        if (effects.passes().isEmpty()) {
            kernels.linear(input, 0, rows, group.projections(), effects.lowRank());
        }
        for (Pass pass : effects.passes()) {
            int end = pass.end() < 0 ? rows : pass.end();
            if (end > pass.first()) {
                kernels.linear(input, pass.first(), end - pass.first(), pass.projections(), pass.lowRank());
            }
        }
        for (Use use : effects.before()) {
            forms.apply(use, input, x);
        }
        if (!effects.late().isEmpty()) {
            kernels.lowRank(input, effects.late());
        }
        for (Use use : effects.after()) {
            forms.apply(use, input, x);
        }
    }

    /**
     * A norm of the base, which does nothing when there is none, with the segments that have another one.
     *
     * @param addend first added to {@code in}, norm or none; null for nothing
     */
    private void norm(Norm norm, int layer, Module module, int group, Tensor addend, Tensor in, Tensor out, int rows, AdapterPlan plan) {
        if (norm == null) {
            if (addend != null) {
                kernels.add(in, addend, rows);
            }
            return;
        }
        boolean replaced = plan.touches(module);
        Tensor before = replaced && in == out ? forms.saved(in, rows) : in;
        kernels.norm(spec.norm(), spec.normEpsilon(), norm.weight(), norm.bias(), group, addend, in, rows, out);
        if (replaced) {
            for (Segment segment : plan.segments()) {
                for (Form form : segment.adapter().at(layer, module)) {
                    if (form instanceof Form.NormReplacement own) {
                        forms.norm(own, spec.norm(), spec.normEpsilon(), group, before, segment, out);
                    }
                }
            }
        }
    }

    private Tensor buffer(int columns) {
        return owned.own(kernels.tensor(maxRows, columns));
    }

    @Override
    public void close() {
        owned.close();
    }
}
