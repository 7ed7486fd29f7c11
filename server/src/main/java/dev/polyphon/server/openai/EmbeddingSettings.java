package dev.polyphon.server.openai;

import dev.polyphon.runtime.Pooling;

/**
 * How texts are embedded.
 *
 * @param pooling where a request does not say
 * @param inputs most texts of one request
 */
public record EmbeddingSettings(Pooling pooling, int inputs) {}
