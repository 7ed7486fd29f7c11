/** The description of all routes, for people and programs. */
package dev.polyphon.server.openapi;
