/** The server as its users meet it: started, put under load over HTTP, and weighed. */
package dev.polyphon.measure.server;
