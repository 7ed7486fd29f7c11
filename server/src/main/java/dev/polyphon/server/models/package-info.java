/** Base models by name: the catalogue that pins them, the sources they come from, and the cache that keeps them. */
package dev.polyphon.server.models;
