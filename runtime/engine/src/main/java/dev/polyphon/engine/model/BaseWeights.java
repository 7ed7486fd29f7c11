package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.model.Checkpoint.Stored;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.MalformedFileException;
import dev.polyphon.engine.weights.TensorView;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** All weights of a base model on a device, shapes checked against its spec. The checkpoint must stay open as long as they are used. */
public final class BaseWeights implements AutoCloseable {
    private final Kernels kernels;
    private final Checkpoint checkpoint;
    private final ArchitectureSpec spec;
    private final Owned owned = new Owned();
    private final Arena transposed = owned.own(Arena.ofShared());

    final Linear embedding;
    final Linear positions;
    final Norm embeddingNorm;
    final List<LayerWeights> layers;
    final Norm finalNorm;
    final Linear head;

    /** @throws MalformedFileException when a tensor is missing or of another shape than the spec says */
    public BaseWeights(Kernels kernels, Checkpoint checkpoint) throws MalformedFileException {
        this.kernels = kernels;
        this.checkpoint = checkpoint;
        this.spec = checkpoint.spec();
        try {
            embedding = required(Site.of(Module.EMBED), linear(Site.of(Module.EMBED), true));
            positions = linear(Site.of(Module.POSITIONS), true);
            embeddingNorm = norm(Site.of(Module.EMBED_NORM), spec.hidden());
            List<LayerWeights> loaded = new ArrayList<>();
            for (int i = 0; i < spec.layers().size(); i++) {
                loaded.add(layer(i));
            }
            layers = List.copyOf(loaded);
            finalNorm = norm(Site.of(Module.FINAL_NORM), spec.hidden());
            Site headSite = Site.of(spec.tied() ? Module.EMBED : Module.HEAD);
            head = required(headSite, linear(headSite, false));
        } catch (MalformedFileException | RuntimeException e) {
            close();
            throw e;
        }
    }

    private LayerWeights layer(int i) throws MalformedFileException {
        return new LayerWeights(
                norm(new Site(i, Module.ATTENTION_NORM), spec.hidden()),
                needed(i, Module.Q),
                needed(i, Module.K),
                needed(i, Module.V),
                needed(i, Module.O),
                norm(new Site(i, Module.Q_NORM), spec.headDim()),
                norm(new Site(i, Module.K_NORM), spec.headDim()),
                norm(new Site(i, Module.POST_ATTENTION_NORM), spec.hidden()),
                norm(new Site(i, Module.MLP_NORM), spec.hidden()),
                mlps(i),
                spec.experts() == null ? null : needed(i, Module.ROUTER),
                norm(new Site(i, Module.POST_MLP_NORM), spec.hidden()));
    }

    private List<LayerWeights.Mlp> mlps(int layer) throws MalformedFileException {
        List<LayerWeights.Mlp> mlps = new ArrayList<>();
        for (int e = 0; e < Math.max(spec.expertCount(), 1); e++) {
            int expert = spec.experts() == null ? -1 : e;
            mlps.add(new LayerWeights.Mlp(spec.gated() ? needed(new Site(layer, Module.GATE, expert)) : null,
                    needed(new Site(layer, Module.UP, expert)), needed(new Site(layer, Module.DOWN, expert))));
        }
        return List.copyOf(mlps);
    }

    private Linear needed(int layer, Module module) throws MalformedFileException {
        return needed(new Site(layer, module));
    }

    private Linear needed(Site site) throws MalformedFileException {
        return required(site, linear(site, false));
    }

    private Linear required(Site site, Linear linear) throws MalformedFileException {
        if (linear == null) {
            throw new MalformedFileException(checkpoint.source(), "the base model has no weight for " + site);
        }
        return linear;
    }

    /** @param table whether its rows are looked up, not multiplied with */
    private Linear linear(Site site, boolean table) throws MalformedFileException {
        Optional<Stored> stored = checkpoint.stored(site);
        if (stored.isEmpty()) {
            return null;
        }
        Stored s = stored.get();
        TensorView matrix = s.transposed() ? transpose(s.weight()) : s.weight();
        int rows = s.rows() == null && matrix.rank() == 2 ? matrix.dim(0) : s.rows() == null ? -1 : s.rows().length;
        boolean anyRows = site.module() == Module.POSITIONS;
        if (matrix.rank() != 2 || matrix.dim(1) != spec.in(site.module()) || !anyRows && rows != spec.out(site.module())) {
            throw new MalformedFileException(checkpoint.source(), "tensor " + s.weight().name() + " is " + s.weight().describe() + ", " + site + " needs ["
                    + spec.out(site.module()) + ", " + spec.in(site.module()) + "]");
        }
        Weight weight = owned.own(table ? kernels.rows(matrix, s.rows()) : kernels.weight(matrix, s.rows()));
        // It is in memory a second time now; what still needs a page of the file, brings it back.
        if (!table && s.weight().data().isMapped()) {
            s.weight().data().unload();
        }
        return new Linear(weight, s.bias() == null ? null : vector(s.bias(), s.rows(), spec.out(site.module()), 0));
    }

    private Norm norm(Site site, int width) throws MalformedFileException {
        Optional<Stored> stored = checkpoint.stored(site);
        if (stored.isEmpty()) {
            return null;
        }
        TensorView bias = stored.get().bias();
        return new Norm(vector(stored.get().weight(), null, width, spec.normOffset()), bias == null ? null : vector(bias, null, width, 0));
    }

    private Tensor vector(TensorView view, int[] rows, int width, float offset) throws MalformedFileException {
        float[] stored = Floats.all(view);
        float[] values = rows == null ? stored : new float[rows.length];
        if (rows != null) {
            for (int i = 0; i < rows.length; i++) {
                values[i] = stored[rows[i]];
            }
        }
        if (values.length != width) {
            throw new MalformedFileException(checkpoint.source(), "tensor " + view.name() + " is " + view.describe() + ", expected " + width + " elements");
        }
        for (int i = 0; i < width; i++) {
            values[i] += offset;
        }
        Tensor tensor = owned.own(kernels.tensor(1, width));
        kernels.write(tensor, 0, 1, values);
        return tensor;
    }

    private TensorView transpose(TensorView view) {
        int in = view.dim(0);
        int out = view.dim(1);
        float[] stored = Floats.all(view);
        MemorySegment data = transposed.allocate(4L * in * out, 64);
        for (int o = 0; o < out; o++) {
            for (int i = 0; i < in; i++) {
                data.setAtIndex(ValueLayout.JAVA_FLOAT, (long) o * in + i, stored[i * out + o]);
            }
        }
        return new TensorView(view.name(), DType.F32, new long[] {out, in}, data);
    }

    @Override
    public void close() {
        owned.close();
    }
}
