/** What the front end costs, measured with a runtime that answers at once. No test: {@link dev.polyphon.server.measure.FrontEndCost} is run by hand. */
package dev.polyphon.server.measure;
