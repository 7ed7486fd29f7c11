package dev.polyphon.runtime;

/**
 * One generated token.
 *
 * @param choice index of the continuation
 * @param token its id
 * @param text the characters that became final with this token; empty while a character or a possible stop string is incomplete
 * @param logprobs log probabilities, or null when the request did not ask
 */
public record TokenEvent(int choice, int token, String text, TokenLogprobs logprobs) {}
