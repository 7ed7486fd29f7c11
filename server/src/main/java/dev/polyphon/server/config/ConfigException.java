package dev.polyphon.server.config;

/** The configuration cannot be used; the message says which key, what was found and what is allowed. */
public final class ConfigException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public ConfigException(String message) {
        super(message);
    }
}
