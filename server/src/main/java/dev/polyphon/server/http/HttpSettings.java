package dev.polyphon.server.http;

import java.time.Duration;

/**
 * Where to listen and what a client may ask of a connection.
 *
 * @param port 0 for one that the system chooses
 * @param ioThreads event loops; 0 for one per two cores, at least one
 * @param backlog connections the system may hold before they are accepted
 * @param maxConnections open at once; those beyond are answered 503 and closed
 * @param maxStreams requests under way at once on one connection of HTTP/2
 * @param maxRequestLine bytes of method, target and version
 * @param maxHeader bytes of all header fields together
 * @param maxBody bytes of a request's body
 * @param compressFrom bytes from which on whole answers are sent in gzip to those who take it; 0 for never
 * @param headerTimeout from the first byte of a request to the end of its header, and from connecting to the first byte
 * @param bodyTimeout from the end of the header to the end of the body
 * @param streamTimeout how long nothing may come on a request that goes on while it is answered
 * @param idleTimeout between an answer and the next request
 * @param writeTimeout how long a client may take nothing of what is being sent to it
 * @param writeHigh bytes waiting to be sent above which nothing is added
 * @param writeLow bytes waiting to be sent below which sending goes on
 * @param tls null where connections are in the clear
 */
public record HttpSettings(
        String host,
        int port,
        int ioThreads,
        int backlog,
        int maxConnections,
        int maxStreams,
        int maxRequestLine,
        int maxHeader,
        int maxBody,
        int compressFrom,
        Duration headerTimeout,
        Duration bodyTimeout,
        Duration streamTimeout,
        Duration idleTimeout,
        Duration writeTimeout,
        int writeHigh,
        int writeLow,
        TlsSettings tls) {}
