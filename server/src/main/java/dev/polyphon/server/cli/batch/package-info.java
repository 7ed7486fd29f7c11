/** Many requests from a file, their answers into another: OpenAI's batch format, worked off against a running server. */
package dev.polyphon.server.cli.batch;
