/** What operators do while the server runs. */
package dev.polyphon.server.admin;
