/** Measurements of the engine: its kernels beside the machine's limits, its steps, its adapters, and the server as a whole. Nothing here is part of the product. */
package dev.polyphon.measure;
