package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.Activation;
import dev.polyphon.engine.backend.Tensor;
import dev.polyphon.engine.backend.Weight;
import java.util.Map;

/**
 * What an adapter does at a site to the rows that use it. At a linear site, with input x, weight W and bias b of the base, forms act in the order
 * of {@link Stage}; the adapter formats of the literature are readers into these few.
 */
public sealed interface Form {

    /** When a form acts on the output y of a linear site. */
    enum Stage {
        /** Computes y anew, from another input or with another weight. */
        REPLACE,
        /** Adds to y what is computed from x or from y = Wx + b itself. */
        ADD,
        /** The batched low-rank deltas. */
        LOW_RANK,
        /** Changes y element by element. */
        FINISH
    }

    Stage stage();

    /**
     * y += scale · B (A x) (LoRA, Hu et al. 2021).
     *
     * @param a [rank, in]
     * @param b [out, rank]
     */
    record LowRankDelta(Weight a, Weight b, float scale) implements Form {
        @Override
        public Stage stage() {
            return Stage.LOW_RANK;
        }
    }

    /**
     * y += D x, for weight changes of no low rank.
     *
     * @param delta [out, in]
     */
    record DenseDelta(Weight delta) implements Form {
        @Override
        public Stage stage() {
            return Stage.ADD;
        }
    }

    /** y = scale ⊙ y + shift (IA3, DoRA's magnitude, biases); both [1, out], either may be null. */
    record ScaleShift(Tensor scale, Tensor shift) implements Form {
        @Override
        public Stage stage() {
            return Stage.FINISH;
        }
    }

    /** y's pairs of columns are turned and scaled (RoAd, Liao and Monz 2024). See {@link dev.polyphon.engine.backend.Kernels#turnPairs}. */
    record PairTurn(int group, Tensor cos, Tensor sin) implements Form {
        @Override
        public Stage stage() {
            return Stage.FINISH;
        }
    }

    /**
     * scale · U f(D v + d) + u for a source v, added where {@code place} says (Houlsby et al. 2019; LLM-Adapters, Hu et al. 2023).
     *
     * @param normWeight v is layer-normalised first, with this weight [1, width] and {@code normBias}; null for no norm
     * @param down [bottleneck, width of v]
     * @param downBias [1, bottleneck], or null
     * @param f null for the identity
     * @param up [width of what it is added to, bottleneck]
     * @param upBias [1, that width], or null
     */
    record Bottleneck(Place place, Tensor normWeight, Tensor normBias, Weight down, Tensor downBias, Activation f, Weight up, Tensor upBias,
            float scale) implements Form {

        /** What v is, and what the result is added to. */
        public enum Place {
            /** v = x, added to x: y = W (x + …) + b. */
            BEFORE,
            /** v = x, added to y. */
            BESIDE,
            /** v = y, added to y. */
            AFTER,
            /** v = the residual stream that y will be added to, added to y. */
            BESIDE_BLOCK,
            /** v = y and that residual stream together, added to y. */
            AFTER_BLOCK
        }

        @Override
        public Stage stage() {
            return place == Place.BEFORE ? Stage.REPLACE : Stage.ADD;
        }
    }

    /** y = W (scale ⊙ x) + b; [1, in]. */
    record InputScale(Tensor scale) implements Form {
        @Override
        public Stage stage() {
            return Stage.REPLACE;
        }
    }

    /** y = W (M x) + b (orthogonal fine-tuning); [in, in]. */
    record InputMatrix(Weight matrix) implements Form {
        @Override
        public Stage stage() {
            return Stage.REPLACE;
        }
    }

    /** y = W' x + b' (modules_to_save); the bias may be null. */
    record Replacement(Weight weight, Tensor bias) implements Form {
        @Override
        public Stage stage() {
            return Stage.REPLACE;
        }
    }

    /** At a norm: another weight and bias [1, width]; the bias may be null. */
    record NormReplacement(Tensor weight, Tensor bias) implements Form {
        @Override
        public Stage stage() {
            return Stage.REPLACE;
        }
    }

    /** At the embedding: another table [vocabulary, hidden]. */
    record EmbeddingReplacement(Weight table) implements Form {
        @Override
        public Stage stage() {
            return Stage.REPLACE;
        }
    }

    /**
     * At the embedding: these tokens have rows of their own.
     *
     * @param rows [tokens, hidden]
     * @param places row of each token id
     */
    record EmbeddingRows(Weight rows, Map<Integer, Integer> places) implements Form {
        public EmbeddingRows {
            places = Map.copyOf(places);
        }

        @Override
        public Stage stage() {
            return Stage.REPLACE;
        }
    }

    /**
     * At the embedding: e += scale · B a[token].
     *
     * @param a [vocabulary, rank]
     * @param b [hidden, rank]
     */
    record EmbeddingDelta(Weight a, Weight b, float scale) implements Form {
        @Override
        public Stage stage() {
            return Stage.ADD;
        }
    }
}
