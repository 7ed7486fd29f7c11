/** The web console: static files, and what they ask beside the APIs. */
package dev.polyphon.server.console;
