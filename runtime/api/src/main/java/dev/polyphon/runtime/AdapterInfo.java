package dev.polyphon.runtime;

import java.nio.file.Path;
import java.time.Instant;

/**
 * A registered adapter.
 *
 * @param name what requests call it
 * @param base the base model it belongs to
 * @param kind the form its configuration names, for example {@code LORA}
 * @param source the folder it comes from
 * @param registered when
 * @param loaded whether its weights are in memory now
 * @param bytes size of its weights in memory, 0 while not loaded
 */
public record AdapterInfo(String name, String base, String kind, Path source, Instant registered, boolean loaded, long bytes) {}
