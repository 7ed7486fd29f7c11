package dev.polyphon.runtime;

/** A registered adapter's name and how much of it a request wants; 1 is the adapter as trained. */
public record AdapterWeight(String name, float weight) {
    public AdapterWeight(String name) {
        this(name, 1f);
    }
}
