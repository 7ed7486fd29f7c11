package dev.polyphon.engine.sample;

import dev.polyphon.runtime.TokenLogprobs;

/**
 * The token chosen at one position.
 *
 * @param logprobs of the raw logits; null when the request did not ask
 */
public record Choice(int token, TokenLogprobs logprobs) {}
