/** Random bases and adapters of real shapes: how fast a model is does not depend on what its weights say. */
package dev.polyphon.measure.random;
