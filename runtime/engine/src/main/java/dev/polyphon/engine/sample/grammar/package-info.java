/**
 * Constrained decoding: grammars, JSON Schemas and regular expressions become automata over bytes, and these say which tokens may come next.
 *
 * <p>A {@link dev.polyphon.engine.sample.grammar.Expr} over characters is compiled into an {@link dev.polyphon.engine.sample.grammar.Automaton} with
 * calls, a pushdown automaton. {@link dev.polyphon.engine.sample.grammar.States} makes it deterministic as far as outputs go, state by state, and keeps
 * each state's mask of tokens. Edges from which no end can be reached are cut off before, and bytes that no token spells by itself are left out, so
 * that an output can always go on: from every state that is reached a whole match can be completed token by token.
 */
package dev.polyphon.engine.sample.grammar;
