/**
 * A client for Polyphon on the JDK's {@link java.net.http.HttpClient}: models, completions and chats (whole, as a stream, or without waiting),
 * adapters and metrics. Begin with {@link dev.polyphon.client.PolyphonClient}.
 */
package dev.polyphon.client;
