package dev.polyphon.server.http;

/** Puts errors that the transport itself finds (limits, timeouts, unknown paths) into the form the API uses for its errors. */
@FunctionalInterface
public interface ErrorFormat {
    Response error(int status, String message);
}
