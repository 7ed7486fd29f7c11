/**
 * The OpenAI API, with what vLLM adds to it: reads requests into the runtime's terms, and writes the runtime's tokens as OpenAI's answers.
 *
 * <p>A request's way: {@link dev.polyphon.server.openai.Fields} checks types and limits, {@link dev.polyphon.server.openai.Targets} finds base and
 * adapter, a {@link dev.polyphon.server.openai.Call} runs the generations and hands what they say to the connection's event loop, and a
 * {@link dev.polyphon.server.openai.Reply} writes it.
 */
package dev.polyphon.server.openai;
