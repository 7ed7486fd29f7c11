package dev.polyphon.runtime;

import java.util.Objects;

/**
 * One adapter of a request. Several make a mix: the sum of their changes to the weights, each times its own weight.
 *
 * @param name as registered
 * @param weight how much of it is wanted; 1 is the adapter as trained
 * @param task which of a multi-task adapter's tasks or languages; null for the adapter's only one
 */
public record AdapterWeight(String name, float weight, String task) {
    public AdapterWeight {
        Objects.requireNonNull(name);
    }

    public AdapterWeight(String name) {
        this(name, 1f, null);
    }
}
