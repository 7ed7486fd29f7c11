/** The commands of the command line. */
package dev.polyphon.server.cli;
