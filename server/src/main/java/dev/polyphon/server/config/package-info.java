/**
 * The configuration: a YAML file, the environment and the command line, read into records. Each key is asked for once, in
 * {@link dev.polyphon.server.config.PolyphonConfig}, with its default and limits; keys that nobody asks for are errors.
 */
package dev.polyphon.server.config;
