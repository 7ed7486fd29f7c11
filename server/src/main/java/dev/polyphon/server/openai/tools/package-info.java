/** Calls of tools: how models are told of them, held to them, and how their calls are found in what they write. */
package dev.polyphon.server.openai.tools;
