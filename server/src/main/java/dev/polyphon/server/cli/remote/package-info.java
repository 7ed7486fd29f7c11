/** The commands that ask a running server, by the client for Java. */
package dev.polyphon.server.cli.remote;
