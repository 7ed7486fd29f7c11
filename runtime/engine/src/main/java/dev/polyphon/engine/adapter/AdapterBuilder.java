package dev.polyphon.engine.adapter;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.ArchitectureSpec;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Checkpoint.Stored;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Layout;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.model.Site;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.TensorView;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * Collects the forms of one adapter while a reader goes through its tensors, and owns the memory they stand in: copies, since files may change or vanish
 * while the adapter is served. Fused modules are split here: what a reader says of a module's path goes to each site stored there.
 */
final class AdapterBuilder implements AutoCloseable {
    private final String name;
    private final Checkpoint base;
    private final ArchitectureSpec spec;
    private final Kernels kernels;
    private final Map<String, List<Layout.Part>> parts;
    private final Owned memory = new Owned();
    private final Arena arena = memory.own(Arena.ofShared());
    private final Map<Site, List<Form>> forms = new HashMap<>();
    private AdapterWeights.Prefix prefix;
    private int[] invocation = {};
    /** Forms for the last positions of a prompt alone, and how many of the first and last positions the adapter acts on; null for all. */
    private Map<Site, List<Form>> formsAtEnd;
    private int firstPositions;
    private int lastPositions;
    private long bytes;
    private final List<String> warnings = new ArrayList<>();
    /** While mixing: how much of the adapter that is read now is wanted, and the factors so far of each module. */
    private Map<String, Mixed> mixed;
    /** While deltas are collected instead of forms: those so far, by module path. */
    private Map<String, Delta> collected;
    private String part;
    private float factor = 1;

    AdapterBuilder(String name, Checkpoint base, Kernels kernels) {
        this.name = name;
        this.base = base;
        this.spec = base.spec();
        this.kernels = kernels;
        this.parts = base.layout().parts(spec);
    }

    /** The factors of a module's low-rank deltas side by side: their product is the sum of the deltas. */
    private record Mixed(Target target, Matrix a, Matrix b) {}

    /**
     * One factor of a low-rank delta as it is kept. Beside base weights of 16 bits or fewer it takes 16 bits: half floats times a power of two that puts
     * the largest just below their limit, so that the small ones keep their bits; against f32 that is an error of 2^-12 of each element, and half the bytes
     * that a step has to read.
     *
     * @param unit what the elements are to be multiplied with
     */
    private record Factor(TensorView view, float unit) {
        static Factor halves(TensorView view, Arena arena) {
            float[] values = Floats.all(view);
            float most = 0;
            for (float v : values) {
                most = Math.max(most, Math.abs(v));
            }
            int exponent = most > 0 && most < Float.POSITIVE_INFINITY ? Math.clamp(14 - Math.getExponent(most), -100, 100) : 0;
            MemorySegment data = arena.allocate(2L * values.length, 64);
            for (int i = 0; i < values.length; i++) {
                data.setAtIndex(ValueLayout.JAVA_SHORT, i, Float.floatToFloat16(Math.scalb(values[i], exponent)));
            }
            return new Factor(new TensorView(view.name(), DType.F16, view.shape(), data), Math.scalb(1f, -exponent));
        }
    }

    /** From now on an adapter is read of which so much is to be added. Only changes that add up can be: deltas of weights and of biases. */
    void mix(String adapter, float weight) {
        if (mixed == null) {
            mixed = new LinkedHashMap<>();
        }
        part = adapter;
        factor = weight;
    }

    /** From now on an adapter is read of which only the changes to weights are wanted; it must not do anything else. */
    void collect(String adapter) {
        mix(adapter, 1);
        collected = new LinkedHashMap<>();
    }

    /** What was collected, by module path. */
    Map<String, Delta> deltas() {
        return collected;
    }

    /** A module of the checkpoint, at one or, when it is fused, several sites. */
    final class Target {
        private final String path;
        private final List<Layout.Part> sites;

        private Target(String path, List<Layout.Part> sites) {
            this.path = path;
            this.sites = sites;
        }

        String path() {
            return path;
        }

        List<Layout.Part> sites() {
            return sites;
        }

        Module module() {
            return sites.getFirst().site().module();
        }

        int in() {
            return spec.in(module());
        }

        /** Rows of the whole module, all parts together. */
        int out() {
            int out = 0;
            for (Layout.Part part : sites) {
                out += spec.out(part.site().module());
            }
            return out;
        }

        /** The base's weight, [out, in], of all its parts together. */
        Matrix baseWeight() throws AdapterFault {
            Matrix whole = new Matrix(out(), in(), new float[Math.multiplyExact(out(), in())]);
            for (Layout.Part part : sites) {
                Matrix own = AdapterBuilder.this.baseWeight(part.site());
                for (int r = 0; r < own.rows(); r++) {
                    int row = part.rows() == null ? r : part.rows()[r];
                    System.arraycopy(own.data(), r * own.columns(), whole.data(), row * own.columns(), own.columns());
                }
            }
            return whole;
        }

        /** y += scale · B (A x), in the type the tensors have. */
        void lowRank(TensorView a, TensorView b, float scale) {
            if (collected != null) {
                collect(new Delta.LowRank(new Matrix(a.dim(0), a.dim(1), Floats.all(a)), new Matrix(b.dim(0), b.dim(1), Floats.all(b)), scale));
                return;
            }
            if (mixed != null) {
                lowRank(new Matrix(a.dim(0), a.dim(1), Floats.all(a)), new Matrix(b.dim(0), b.dim(1), Floats.all(b)).times(scale));
                return;
            }
            putLowRank(a, b, scale);
        }

        private void putLowRank(TensorView a, TensorView b, float scale) {
            boolean halves = sites.stream().allMatch(part -> base.stored(part.site()).filter(s -> s.weight().dtype().bytes(32) <= 64).isPresent());
            try (Arena passing = Arena.ofConfined()) {
                Factor shrink = halves ? Factor.halves(a, passing) : new Factor(a, 1);
                Factor expand = halves ? Factor.halves(b, passing) : new Factor(b, 1);
                Weight down = weight(shrink.view, null);
                for (Layout.Part part : sites) {
                    put(part.site(), new Form.LowRankDelta(down, weight(expand.view, part.rows()), scale * shrink.unit * expand.unit));
                }
            }
        }

        /** y += B (A x); held as a dense matrix where that is smaller. */
        void lowRank(Matrix a, Matrix b) {
            if (collected != null) {
                collect(new Delta.LowRank(a, b, 1));
            } else if (mixed == null) {
                addLowRank(a, b);
            } else {
                mixed.merge(path, new Mixed(this, a, b.times(factor)), (before, now) -> new Mixed(this, before.a.above(now.a), before.b.beside(now.b)));
            }
        }

        private void collect(Delta delta) {
            if (collected.put(path, delta) != null) {
                throw new IllegalStateException("a second change of " + path);
            }
        }

        private void addLowRank(Matrix a, Matrix b) {
            long factors = (long) a.rows() * (a.columns() + b.rows());
            if (factors >= (long) a.columns() * b.rows()) {
                addDense(b.times(a));
                return;
            }
            try (Arena passing = Arena.ofConfined()) {
                putLowRank(view(a, passing), view(b, passing), 1);
            }
        }

        /** y += D x. */
        void dense(Matrix delta) {
            if (collected != null) {
                collect(new Delta.Dense(delta));
                return;
            }
            addDense(factor == 1 ? delta : delta.times(factor));
        }

        private void addDense(Matrix delta) {
            for (Layout.Part part : sites) {
                put(part.site(), new Form.DenseDelta(weight(delta.rows(part.rows()))));
            }
        }

        /** y = scale ⊙ y + shift; either may be null. */
        void scaleShift(float[] scale, float[] shift) throws AdapterFault {
            for (Layout.Part part : sites) {
                add(part.site(), new Form.ScaleShift(scale == null ? null : vector(select(scale, part)), shift == null ? null : vector(select(shift, part))));
            }
        }

        void form(Form form) throws AdapterFault {
            for (Layout.Part part : sites) {
                add(part.site(), form);
            }
        }
    }

    /** Whether a tensor is of the base's embedding or head, whichever is asked for, by its name. */
    boolean of(Module once, String tensor) {
        return base.layout().place(once).filter(place -> tensor.startsWith(place.path() + ".")).isPresent();
    }

    ArchitectureSpec spec() {
        return spec;
    }

    Checkpoint base() {
        return base;
    }

    String name() {
        return name;
    }

    /** The module of a path. @throws AdapterFault when this base has none there */
    Target target(String path, String tensor) throws AdapterFault {
        String found = module(path).orElseThrow(() -> new AdapterFault("tensor " + tensor + " belongs to no module of this base (" + path + ")"));
        return new Target(found, parts.get(found));
    }

    /** The path that the base's checkpoints have for a module; empty when the base has none there. */
    Optional<String> module(String path) {
        return module(path, base.layout(), parts);
    }

    private static Optional<String> module(String path, Layout layout, Map<String, List<Layout.Part>> parts) {
        String canonical = layout.canonical(path);
        return Stream.of(canonical, "model." + canonical).filter(parts::containsKey).findFirst();
    }

    /** Where a base has the module of a path, at several sites where it is fused; empty when it has none there. */
    static List<Layout.Part> sites(String path, Checkpoint base) {
        Map<String, List<Layout.Part>> parts = base.layout().parts(base.spec());
        return module(path, base.layout(), parts).map(parts::get).orElse(List.of());
    }

    /** Whether the family's checkpoints have a site's matrix as [in, out], whatever file this base comes from. */
    boolean transposed(Site site) {
        return base.layout().place(site.module()).filter(Layout.Place::transposed).isPresent();
    }

    /** The paths of all modules of the base. */
    Set<String> modules() {
        return parts.keySet();
    }

    /** Tells whether a base has the module that a tensor is of; of a tensor that is not named after one, it is taken to have. */
    static Predicate<String> modulesOf(Checkpoint base) {
        Map<String, List<Layout.Part>> parts = base.layout().parts(base.spec());
        return tensor -> {
            for (int dot = tensor.lastIndexOf('.'); dot > 0; dot = tensor.lastIndexOf('.', dot - 1)) {
                Optional<String> module = module(tensor.substring(0, dot), base.layout(), parts);
                if (module.isPresent()) {
                    return parts.get(module.get()).stream().anyMatch(part -> base.stored(part.site()).isPresent());
                }
            }
            return true;
        };
    }

    /** Whether the base has weights of its own for a module of its architecture; a head that is the embedding has. */
    boolean stored(String path) {
        return parts.get(path).stream().anyMatch(part -> find(part.site()).isPresent());
    }

    /** The module of a path, which must be a linear layer inside the decoder's layers. */
    Target linear(String path, String tensor) throws AdapterFault {
        Target target = target(path, tensor);
        if (!target.module().linear()) {
            throw new AdapterFault("tensor " + tensor + ": " + path + " is not a linear layer");
        }
        return target;
    }

    /** Whether the base has a module. */
    boolean has(Module module) {
        return base.layout().place(module).isPresent();
    }

    /** Paths of a module in every layer that has it, for example of {@link Module#DOWN}. */
    String path(int layer, Module module) throws AdapterFault {
        return base.layout().place(module).orElseThrow(() -> new AdapterFault("this base has no " + module)).path(layer);
    }

    /** The base's weight at a site, [out, in]. */
    Matrix baseWeight(Site site) throws AdapterFault {
        Stored stored = stored(site);
        TensorView view = stored.weight();
        Matrix matrix = new Matrix(view.dim(0), view.dim(1), Floats.all(view));
        return (stored.transposed() ? matrix.transposed() : matrix).rows(stored.rows());
    }

    /** Rows of the head, or of the embedding where that is the head. */
    Matrix headRows(int[] rows) throws AdapterFault {
        TensorView view = stored(Site.of(Module.HEAD)).weight();
        int columns = view.dim(1);
        Matrix some = new Matrix(rows.length, columns, new float[Math.multiplyExact(rows.length, columns)]);
        for (int r = 0; r < rows.length; r++) {
            Floats.read(view, (long) rows[r] * columns, some.data(), r * columns, columns);
        }
        return some;
    }

    /** The base's bias at a site; null when there is none. */
    float[] baseBias(Site site) throws AdapterFault {
        Stored stored = stored(site);
        if (stored.bias() == null) {
            return null;
        }
        float[] all = Floats.all(stored.bias());
        return stored.rows() == null ? all : new Matrix(all.length, 1, all).rows(stored.rows()).data();
    }

    /** What the base's norm at a site multiplies with. */
    float[] normWeight(Site site) throws AdapterFault {
        float[] weight = Floats.all(stored(site).weight());
        for (int i = 0; i < weight.length; i++) {
            weight[i] += spec.normOffset();
        }
        return weight;
    }

    private Stored stored(Site site) throws AdapterFault {
        return find(site).orElseThrow(() -> new AdapterFault("this base has no weight at " + site));
    }

    private Optional<Stored> find(Site site) {
        return base.stored(site).or(() -> site.module() == Module.HEAD ? base.stored(Site.of(Module.EMBED)) : Optional.empty());
    }

    void add(Site site, Form form) throws AdapterFault {
        if (mixed != null) {
            throw unmixable("at " + site + " it " + does(form));
        }
        put(site, form);
    }

    private void put(Site site, Form form) {
        List<Form> atSite = forms.computeIfAbsent(site, s -> new ArrayList<>(1));
        if (form instanceof Form.LowRankDelta && atSite.stream().anyMatch(Form.LowRankDelta.class::isInstance)) {
            // The kernels take the low-rank deltas of a step in any order, so that two on the same rows would race.
            throw new IllegalStateException("a second low-rank delta at " + site);
        }
        atSite.add(form);
    }

    private static String does(Form form) {
        return switch (form) {
            case Form.ScaleShift(Tensor scale, Tensor shift) -> scale == null ? "adds a bias" : "scales outputs";
            case Form.PairTurn turn -> "turns pairs of outputs";
            case Form.InputScale scale -> "scales inputs";
            case Form.InputMatrix matrix -> "turns inputs";
            case Form.Bottleneck bottleneck -> "has a bottleneck";
            case Form.Replacement replacement -> "has a weight of its own";
            case Form.NormReplacement replacement -> "has a norm of its own";
            case Form.EmbeddingReplacement e -> "has a table of its own";
            case Form.EmbeddingRows e -> "has rows of its own";
            case Form.EmbeddingDelta e -> "changes what is looked up";
            case Form.LowRankDelta d -> "adds to a weight";
            case Form.DenseDelta d -> "adds to a weight";
        };
    }

    private AdapterFault unmixable(String why) {
        return new AdapterFault("adapter " + part + (collected != null ? " is more than a change of weights: " : " cannot be weighted or mixed: ") + why);
    }

    void prefix(AdapterWeights.Prefix value) throws AdapterFault {
        if (mixed != null) {
            throw unmixable("it stands before the prompt");
        }
        prefix = value;
    }

    void invocation(int[] tokens) throws AdapterFault {
        if (mixed != null) {
            throw unmixable("it is active from its invocation on");
        }
        invocation = tokens.clone();
    }

    /**
     * The adapter acts on a prompt's first and last positions alone: what was added so far on the first, what {@code atEnd} holds on the last.
     *
     * @param atEnd null for the same forms on both
     */
    void onPrompt(int first, int last, Map<Site, List<Form>> atEnd) throws AdapterFault {
        if (mixed != null) {
            throw unmixable("it is active on some positions of the prompt");
        }
        firstPositions = first;
        lastPositions = last;
        formsAtEnd = atEnd == null ? forms : atEnd;
    }

    /** The path of a layer, for example {@code model.layers.3}. */
    String layerPath(int layer) throws AdapterFault {
        String norm = path(layer, Module.ATTENTION_NORM);
        return norm.substring(0, norm.lastIndexOf('.'));
    }

    /** For {@link Kernels#linear} and low-rank deltas. */
    private Weight weight(TensorView view, int[] rows) {
        bytes += view.data().byteSize() / view.dim(0) * (rows == null ? view.dim(0) : rows.length);
        return memory.own(kernels.weight(view, rows));
    }

    /** For {@link Kernels#linear} and low-rank deltas. */
    Weight weight(Matrix matrix) {
        try (Arena passing = Arena.ofConfined()) {
            return weight(view(matrix, passing), null);
        }
    }

    /** For {@link Kernels#embed}. */
    Weight table(Matrix matrix) {
        bytes += 4L * matrix.data().length;
        return memory.own(kernels.rows(view(matrix, arena)));
    }

    private TensorView view(Matrix matrix, Arena in) {
        MemorySegment data = in.allocate(4L * matrix.data().length, 64);
        MemorySegment.copy(matrix.data(), 0, data, ValueLayout.JAVA_FLOAT, 0, matrix.data().length);
        return new TensorView(name, DType.F32, new long[] {matrix.rows(), matrix.columns()}, data);
    }

    Tensor vector(float[] values) {
        return tensor(new Matrix(1, values.length, values));
    }

    Tensor tensor(Matrix values) {
        Tensor tensor = memory.own(kernels.tensor(values.rows(), values.columns()));
        kernels.write(tensor, 0, values.rows(), values.data());
        bytes += 4L * values.data().length;
        return tensor;
    }

    static float[] select(float[] values, Layout.Part part) {
        return new Matrix(values.length, 1, values).rows(part.rows()).data();
    }

    /** Notes what is odd about the adapter. */
    void warn(List<String> sentences) {
        warnings.addAll(sentences);
    }

    LoadedAdapter build() {
        if (mixed != null) {
            mixed.values().forEach(m -> m.target.addLowRank(m.a, m.b));
        }
        AdapterWeights weights = new AdapterWeights(name, spec.layers().size(), forms, prefix, invocation);
        if (formsAtEnd != null) {
            AdapterWeights atEnd = formsAtEnd == forms ? weights : new AdapterWeights(name, spec.layers().size(), formsAtEnd, null, invocation);
            weights = AdapterWeights.onPrompt(weights, firstPositions, atEnd, lastPositions);
        }
        return new LoadedAdapter(weights, bytes, memory, List.copyOf(warnings));
    }

    /** Gives everything back; for readers that fail. */
    @Override
    public void close() {
        memory.close();
    }
}
