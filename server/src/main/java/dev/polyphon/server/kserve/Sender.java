package dev.polyphon.server.kserve;

import dev.polyphon.server.openai.ApiError;

/** Carries answers to the client. Called on its event loop. */
interface Sender {

    /** Takes an answer; the {@linkplain Result#last last} one ends it. */
    void send(Result result);

    /** Tells of a failure; nothing follows. */
    void failed(ApiError error);
}
