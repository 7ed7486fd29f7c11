package dev.polyphon.engine.merge;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.AdapterWeights.Prefix;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Form.Bottleneck;
import dev.polyphon.engine.model.Form.Bottleneck.Place;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.model.Site;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Folds an adapter's forms into the weights of their site: the map W' x + b' that computes what base and forms compute together. In exact arithmetic the
 * two are equal; in f32 they differ by rounding. Only forms that are affine in the module's input can be folded; {@link #obstacle} says why others cannot.
 *
 * <p>Forms are read back from the kernels that made them, when a fold is set up; folded rows are worked out when they are read. A folded map holds copies
 * of the adapter's matrices (of dense ones, not: the adapter must stay open while rows are read). Thread-safe as far as the maps that it is given are.
 */
public final class Fold {
    private final Kernels kernels;

    /** @param kernels made the adapters' forms */
    public Fold(Kernels kernels) {
        this.kernels = kernels;
    }

    /** Why an adapter is more than other weights; empty when each of its forms can be folded and it does nothing but through them. */
    public static List<String> obstacles(AdapterWeights adapter) {
        List<String> obstacles = new ArrayList<>();
        switch (adapter.prefix()) {
            case null -> {}
            case Prefix.Embeddings p -> obstacles.add("it puts " + p.length() + " embeddings before the prompt");
            case Prefix.KeysValues p -> obstacles.add("it puts keys and values of " + p.length() + " positions before the prompt");
        }
        if (adapter.partial()) {
            obstacles.add("it is active at some positions of a sequence only");
        }
        for (Site site : adapter.sites()) {
            obstacle(site, adapter.at(site)).ifPresent(why -> obstacles.add("at " + site + ": " + why));
        }
        return obstacles;
    }

    /** Why one of a site's forms cannot be folded; empty when all can. */
    public static Optional<String> obstacle(Site site, List<Form> forms) {
        return site.module() == Module.BLOCK
                ? Optional.of("the residual stream has no weights")
                : forms.stream().map(Fold::obstacle).flatMap(Optional::stream).findFirst();
    }

    private static Optional<String> obstacle(Form form) {
        return switch (form) {
            case Bottleneck b when b.f() != null -> Optional.of("a bottleneck with the nonlinearity " + b.f() + " is no linear map of its input");
            case Bottleneck b when b.normWeight() != null -> Optional.of("a bottleneck with a layer norm is no linear map of its input");
            case Bottleneck b when b.place() == Place.BESIDE_BLOCK || b.place() == Place.AFTER_BLOCK ->
                Optional.of("a bottleneck that reads the residual stream is no map of the module's input");
            default -> Optional.empty();
        };
    }

    /**
     * Folds the forms of a linear site.
     *
     * @param base the layer without them
     * @param forms in the order in which they act, as {@link AdapterWeights#at} gives them
     * @throws IllegalArgumentException with the {@link #obstacle} when there is one
     */
    public LinearMap linear(LinearMap base, List<Form> forms) {
        LinearMap y = base;
        for (Form form : foldable(forms)) {
            y = switch (form) {
                // These compute y anew from the base's own weight, as they do unfolded.
                case Form.Replacement(Weight weight, Tensor bias) -> new FoldedMaps.Read(kernels, weight, vector(bias));
                case Form.InputScale(Tensor scale) -> new FoldedMaps.InputScaled(base, vector(scale));
                case Form.InputMatrix(Weight matrix) -> FoldedMaps.InputMapped.of(base, matrix(matrix));
                case Bottleneck b when b.place() == Place.BEFORE -> FoldedMaps.InputLowRank.of(base, matrix(b.up()), matrix(b.down()), b.scale(), shift(b));
                case Bottleneck b when b.place() == Place.BESIDE -> new FoldedMaps.LowRankSum(y, matrix(b.down()), matrix(b.up()), b.scale(), shift(b));
                case Bottleneck b -> after(y, b);
                case Form.DenseDelta(Weight delta) -> new FoldedMaps.Sum(y, new FoldedMaps.Read(kernels, delta, null));
                case Form.LowRankDelta(Weight a, Weight b, float scale) -> new FoldedMaps.LowRankSum(y, matrix(a), matrix(b), scale, null);
                case Form.ScaleShift(Tensor scale, Tensor shift) -> new FoldedMaps.ScaledShifted(y, vector(scale), vector(shift));
                case Form.PairTurn(int group, Tensor cos, Tensor sin) -> new FoldedMaps.Turned(y, group, vector(cos), vector(sin));
                default -> throw new IllegalArgumentException(form + " at a linear layer");
            };
        }
        return y;
    }

    /**
     * Folds the forms of the embedding.
     *
     * @param base its table [vocabulary, hidden], without the factor that some architectures apply to what was looked up
     */
    public LinearMap embedding(LinearMap base, List<Form> forms) {
        LinearMap table = base;
        for (Form form : foldable(forms)) {
            table = switch (form) {
                case Form.EmbeddingReplacement(Weight other) -> new FoldedMaps.Read(kernels, other, null);
                case Form.EmbeddingRows(Weight rows, Map<Integer, Integer> places) -> new FoldedMaps.WithRows(table, matrix(rows), places);
                // e += scale · B a[token]: the table's factors are the other way round.
                case Form.EmbeddingDelta(Weight a, Weight b, float scale) ->
                    new FoldedMaps.LowRankSum(table, transposed(matrix(b), b.out(), b.in()), matrix(a), scale, null);
                default -> throw new IllegalArgumentException(form + " at the embedding");
            };
        }
        return table;
    }

    /**
     * A norm's weight and bias, as the decoder multiplies with it: with the offset of {@code ArchitectureSpec.normOffset}.
     *
     * @param bias null for none
     */
    public record NormValues(float[] weight, float[] bias) {}

    /** What the forms of a norm put in the place of the base's. */
    public NormValues norm(List<Form> forms) {
        return switch (forms.getLast()) {
            case Form.NormReplacement(Tensor weight, Tensor bias) -> new NormValues(vector(weight), vector(bias));
            case Form form -> throw new IllegalArgumentException(form + " at a norm");
        };
    }

    private static List<Form> foldable(List<Form> forms) {
        forms.stream().map(Fold::obstacle).flatMap(Optional::stream).findFirst().ifPresent(why -> {
            throw new IllegalArgumentException(why);
        });
        return forms;
    }

    /** y + s (U (D y + d) + u), where D y is another map of x, as narrow as the bottleneck. */
    private LinearMap after(LinearMap y, Bottleneck b) {
        int narrow = b.down().out();
        float[] down = matrix(b.down());
        float[] product = new float[narrow * y.in()];
        float[] row = new float[y.in()];
        for (int o = 0; o < y.out(); o++) {
            y.rows(o, 1, row);
            for (int k = 0; k < narrow; k++) {
                FoldedMaps.add(row, 0, y.in(), down[k * y.out() + o], product, k * y.in());
            }
        }
        float[] shift = shift(b);
        if (y.bias() != null) {
            float[] narrowed = times(down, narrow, y.bias());
            float[] widened = times(matrix(b.up()), y.out(), narrowed);
            shift = shift == null ? new float[y.out()] : shift;
            FoldedMaps.add(widened, 0, y.out(), b.scale(), shift, 0);
        }
        return new FoldedMaps.LowRankSum(y, product, matrix(b.up()), b.scale(), shift);
    }

    /** s (U d + u), or null when both biases are missing. */
    private float[] shift(Bottleneck b) {
        if (b.downBias() == null && b.upBias() == null) {
            return null;
        }
        float[] shift = b.downBias() == null ? new float[b.up().out()] : times(matrix(b.up()), b.up().out(), vector(b.downBias()));
        float[] up = vector(b.upBias());
        for (int i = 0; i < shift.length; i++) {
            shift[i] = b.scale() * (shift[i] + (up == null ? 0 : up[i]));
        }
        return shift;
    }

    private static float[] times(float[] matrix, int rows, float[] x) {
        float[] product = new float[rows];
        for (int r = 0; r < rows; r++) {
            double sum = 0;
            for (int k = 0; k < x.length; k++) {
                sum += (double) matrix[r * x.length + k] * x[k];
            }
            product[r] = (float) sum;
        }
        return product;
    }

    private static float[] transposed(float[] matrix, int rows, int columns) {
        float[] transposed = new float[matrix.length];
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < columns; c++) {
                transposed[c * rows + r] = matrix[r * columns + c];
            }
        }
        return transposed;
    }

    private float[] matrix(Weight weight) {
        float[] values = new float[Math.multiplyExact(weight.out(), weight.in())];
        kernels.read(weight, 0, weight.out(), values);
        return values;
    }

    private float[] vector(Tensor tensor) {
        if (tensor == null) {
            return null;
        }
        float[] values = new float[tensor.columns()];
        kernels.read(tensor, 0, 1, values);
        return values;
    }
}
