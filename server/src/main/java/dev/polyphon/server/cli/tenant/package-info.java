/** {@code polyphon tenant} and {@code polyphon key}: who may use a server. */
package dev.polyphon.server.cli.tenant;
