/** What operators look at: metrics in Prometheus' formats, health, version, access log. */
package dev.polyphon.server.observe;
