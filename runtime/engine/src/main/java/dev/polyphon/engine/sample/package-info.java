/** Choosing tokens: penalties, temperature, truncation, draws, log probabilities, and when a sequence ends. */
package dev.polyphon.engine.sample;
