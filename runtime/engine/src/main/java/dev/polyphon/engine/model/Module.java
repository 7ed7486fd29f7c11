package dev.polyphon.engine.model;

/**
 * The named places of a decoder that hold weights. Checkpoints that store several of them fused (query, key and value in one matrix, say) are
 * split when they are read, so that the decoder and the adapters know only these.
 */
public enum Module {
    EMBED,
    POSITIONS,
    EMBED_NORM,
    ATTENTION_NORM,
    Q,
    K,
    V,
    O,
    Q_NORM,
    K_NORM,
    /** After attention, before its residual (sandwich norms). */
    POST_ATTENTION_NORM,
    MLP_NORM,
    /** Chooses among a mixture's experts. */
    ROUTER,
    GATE,
    UP,
    DOWN,
    /** After the MLP, before its residual (sandwich norms). */
    POST_MLP_NORM,
    /** The residual stream as a layer leaves it. It has no weights; adapters may change it. */
    BLOCK,
    FINAL_NORM,
    HEAD;

    /** Whether every layer has one of its own. */
    public boolean perLayer() {
        return switch (this) {
            case EMBED, POSITIONS, EMBED_NORM, FINAL_NORM, HEAD -> false;
            default -> true;
        };
    }

    /** Whether every expert of a mixture has one of its own. */
    public boolean perExpert() {
        return this == GATE || this == UP || this == DOWN;
    }

    public boolean norm() {
        return switch (this) {
            case EMBED_NORM, ATTENTION_NORM, Q_NORM, K_NORM, POST_ATTENTION_NORM, MLP_NORM, POST_MLP_NORM, FINAL_NORM -> true;
            default -> false;
        };
    }

    /** Whether rows are multiplied with its matrix. */
    public boolean linear() {
        return !norm() && this != EMBED && this != POSITIONS;
    }
}
