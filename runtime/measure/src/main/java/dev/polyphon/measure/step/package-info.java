/** One step of the decoder at a time, without a server: where its time goes, and what each family of adapters adds to it. */
package dev.polyphon.measure.step;
