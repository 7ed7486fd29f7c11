package dev.polyphon.server.openai.tools;

/** Hears what a model says: text for whoever asked, and calls, whose arguments may come in pieces. */
public interface Calls {
    void content(String text);

    /** A call begins, numbered from 0. */
    void call(int index, String id, String name);

    /** More of a call's arguments, as JSON. */
    void arguments(int index, String piece);
}
