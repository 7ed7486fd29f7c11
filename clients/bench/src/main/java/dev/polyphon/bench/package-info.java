/** A load generator for servers with the OpenAI completions API and many adapters. It knows the wire alone. */
package dev.polyphon.bench;
