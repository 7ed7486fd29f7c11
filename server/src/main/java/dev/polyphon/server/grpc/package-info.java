/**
 * gRPC over the server's own HTTP/2 (<a href="https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md">the protocol</a>): framing, statuses,
 * deadlines, health checking and reflection. The same port, limits and connections serve it as everything else.
 */
package dev.polyphon.server.grpc;
