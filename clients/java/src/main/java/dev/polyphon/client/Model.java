package dev.polyphon.client;

/**
 * What a request may name as its model.
 *
 * @param base the base model that an adapter belongs to; null for a base
 * @param contextLength most tokens, prompt and output together
 */
public record Model(String id, String base, int contextLength) {}
