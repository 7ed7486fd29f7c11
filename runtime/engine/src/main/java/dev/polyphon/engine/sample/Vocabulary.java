package dev.polyphon.engine.sample;

import java.util.Objects;
import java.util.Set;
import java.util.function.IntFunction;

/**
 * What sampling knows of a model's tokens. One per model, shared by all of its sequences.
 *
 * @param size logits per row; ids are 0 to {@code size - 1}
 * @param endTokens the model's own end tokens
 * @param bytes the bytes a token adds to the text, empty for control tokens; called from any thread
 */
public record Vocabulary(int size, Set<Integer> endTokens, IntFunction<byte[]> bytes) {

    public Vocabulary {
        if (size < 1) {
            throw new IllegalArgumentException("a vocabulary has at least 1 token, found " + size);
        }
        endTokens = Set.copyOf(endTokens);
        Objects.requireNonNull(bytes);
    }
}
