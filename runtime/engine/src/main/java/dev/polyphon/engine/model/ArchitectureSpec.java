package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.Activation;
import dev.polyphon.engine.backend.NormKind;
import java.util.List;

/**
 * A decoder-only transformer as data: everything {@link Decoder} needs to know besides the weights.
 *
 * @param family name of the family that described it, for example {@code llama}
 * @param hidden width of the residual stream
 * @param intermediate width inside the MLP
 * @param vocabulary rows of the embedding
 * @param context most positions of a sequence
 * @param heads query heads
 * @param kvHeads key and value heads; divides {@code heads}
 * @param headDim columns of a head
 * @param attentionScale factor of the dot products
 * @param attentionSoftCap 0 for none
 * @param logitSoftCap 0 for none
 * @param layers what differs from layer to layer
 * @param rotaries the rotary embeddings that layers refer to; empty when positions come otherwise
 * @param alibi whether scores get ALiBi's linear biases
 * @param positionOffset row of the learned position table that position 0 uses; -1 when there is no such table
 * @param norm kind of all norms
 * @param normEpsilon added to the variance
 * @param normOffset added to norm weights as stored (Gemma stores them minus 1)
 * @param block order of attention and MLP
 * @param activation function of the MLP
 * @param gated whether the MLP multiplies a gate and an up projection
 * @param embeddingScale factor of embeddings
 * @param tied whether the head is the embedding
 * @param experts the mixture that each layer's MLP is; null for one MLP
 */
public record ArchitectureSpec(
        String family,
        int hidden,
        int intermediate,
        int vocabulary,
        int context,
        int heads,
        int kvHeads,
        int headDim,
        float attentionScale,
        float attentionSoftCap,
        float logitSoftCap,
        List<LayerSpec> layers,
        List<RotarySpec> rotaries,
        boolean alibi,
        int positionOffset,
        NormKind norm,
        float normEpsilon,
        float normOffset,
        Block block,
        Activation activation,
        boolean gated,
        float embeddingScale,
        boolean tied,
        Experts experts) {

    /** How attention and MLP read and feed the residual stream. */
    public enum Block {
        /** x += attention(norm(x)); x += mlp(norm(x)). */
        SEQUENTIAL,
        /** x += attention(norm(x)) + mlp(norm'(x)), both from the same x; with one norm when the checkpoint has one. */
        PARALLEL
    }

    /**
     * @param window positions a row sees, itself included; 0 for all
     * @param rotary index into {@link #rotaries}; -1 for none
     */
    public record LayerSpec(int window, int rotary) {}

    /**
     * A mixture of experts (Shazeer et al. 2017) as Mixtral has it: each row goes through the {@code used} experts that its router scores highest,
     * weighted by the softmax over those scores.
     */
    public record Experts(int count, int used) {
        public Experts {
            require(used >= 1 && used <= count, "%d of %d experts cannot be used", used, count);
        }
    }

    /** A decoder without experts. */
    public ArchitectureSpec(String family, int hidden, int intermediate, int vocabulary, int context, int heads, int kvHeads, int headDim,
            float attentionScale, float attentionSoftCap, float logitSoftCap, List<LayerSpec> layers, List<RotarySpec> rotaries, boolean alibi,
            int positionOffset, NormKind norm, float normEpsilon, float normOffset, Block block, Activation activation, boolean gated,
            float embeddingScale, boolean tied) {
        this(family, hidden, intermediate, vocabulary, context, heads, kvHeads, headDim, attentionScale, attentionSoftCap, logitSoftCap, layers,
                rotaries, alibi, positionOffset, norm, normEpsilon, normOffset, block, activation, gated, embeddingScale, tied, null);
    }

    public ArchitectureSpec {
        layers = List.copyOf(layers);
        rotaries = List.copyOf(rotaries);
        require(hidden > 0 && intermediate > 0 && vocabulary > 0 && context > 0 && headDim > 0 && !layers.isEmpty(),
                "sizes must be positive: hidden %d, intermediate %d, vocabulary %d, context %d, head %d, layers %d",
                hidden, intermediate, vocabulary, context, headDim, layers.size());
        require(kvHeads > 0 && heads % kvHeads == 0, "%d query heads cannot share %d key-value heads evenly", heads, kvHeads);
        for (LayerSpec layer : layers) {
            require(layer.rotary < rotaries.size(), "a layer refers to rotary embedding %d of %d", layer.rotary, rotaries.size());
        }
        for (RotarySpec rotary : rotaries) {
            require(2 * rotary.inverseFrequencies().length <= headDim, "%d rotary pairs do not fit a head of %d columns",
                    rotary.inverseFrequencies().length, headDim);
        }
    }

    private static void require(boolean condition, String message, Object... values) {
        if (!condition) {
            throw new IllegalArgumentException(message.formatted(values));
        }
    }

    public ArchitectureSpec withRotaries(List<RotarySpec> others) {
        return new ArchitectureSpec(family, hidden, intermediate, vocabulary, context, heads, kvHeads, headDim, attentionScale,
                attentionSoftCap, logitSoftCap, layers, others, alibi, positionOffset, norm, normEpsilon, normOffset, block, activation,
                gated, embeddingScale, tied, experts);
    }

    public ArchitectureSpec withNormOffset(float other) {
        return new ArchitectureSpec(family, hidden, intermediate, vocabulary, context, heads, kvHeads, headDim, attentionScale,
                attentionSoftCap, logitSoftCap, layers, rotaries, alibi, positionOffset, norm, normEpsilon, other, block, activation,
                gated, embeddingScale, tied, experts);
    }

    public ArchitectureSpec withExperts(Experts others) {
        return new ArchitectureSpec(family, hidden, intermediate, vocabulary, context, heads, kvHeads, headDim, attentionScale,
                attentionSoftCap, logitSoftCap, layers, rotaries, alibi, positionOffset, norm, normEpsilon, normOffset, block, activation,
                gated, embeddingScale, tied, others);
    }

    /** Experts of each layer; 0 for one MLP that all rows go through. */
    public int expertCount() {
        return experts == null ? 0 : experts.count;
    }

    public int queryWidth() {
        return heads * headDim;
    }

    public int kvWidth() {
        return kvHeads * headDim;
    }

    /** Columns that a linear module reads. */
    public int in(Module module) {
        return switch (module) {
            case O -> queryWidth();
            case DOWN -> intermediate;
            default -> hidden;
        };
    }

    /** Columns that a linear module writes, the vocabulary for embedding and head. */
    public int out(Module module) {
        return switch (module) {
            case Q -> queryWidth();
            case K, V -> kvWidth();
            case GATE, UP -> intermediate;
            case EMBED, HEAD -> vocabulary;
            case ROUTER -> expertCount();
            default -> hidden;
        };
    }

    /** ALiBi's slopes for any number of heads (Press et al. 2021, appendix; the interleaving for other than powers of two as published). */
    public float[] alibiSlopes() {
        float[] slopes = new float[heads];
        int power = Integer.highestOneBit(heads);
        for (int h = 0; h < heads; h++) {
            slopes[h] = (float) (h < power
                    ? Math.pow(2, -8.0 * (h + 1) / power)
                    : Math.pow(2, -8.0 * (2 * (h - power) + 1) / (2 * power)));
        }
        return slopes;
    }
}
