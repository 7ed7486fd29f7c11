package dev.polyphon.server.http;

/** One connection, of whichever protocol. Used on its event loop only. */
interface Link {

    /** Takes no further requests: closes now if nothing is under way, otherwise behind the answers under way. */
    void drain();
}
