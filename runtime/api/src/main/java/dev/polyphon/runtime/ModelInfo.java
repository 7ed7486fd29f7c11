package dev.polyphon.runtime;

import java.time.Instant;

/**
 * A base model as clients see it.
 *
 * @param name what requests call it
 * @param architecture family name from its configuration, for example {@code llama}
 * @param contextLength most tokens, prompt and output together, of one sequence
 * @param vocabulary number of token ids
 * @param width numbers of an embedding
 * @param tools how it calls tools
 * @param loaded when it was loaded
 */
public record ModelInfo(String name, String architecture, int contextLength, int vocabulary, int width, ToolFormat tools, Instant loaded) {}
