package dev.polyphon.client;

import java.util.Objects;

/** One turn of a conversation. */
public record Message(String role, String content) {
    public Message {
        Objects.requireNonNull(role);
        Objects.requireNonNull(content);
    }

    public static Message system(String content) {
        return new Message("system", content);
    }

    public static Message user(String content) {
        return new Message("user", content);
    }

    public static Message assistant(String content) {
        return new Message("assistant", content);
    }
}
