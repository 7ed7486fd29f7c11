/**
 * HTTP/1.1 and HTTP/2 over Netty: connections, limits, timeouts, back-pressure, routing, server-sent events. Knows bytes and statuses, and nothing of what
 * the routes mean.
 *
 * <p>Everything about one connection happens on its event loop, which never blocks and never computes for long.
 */
package dev.polyphon.server.http;
