/** JMH benchmarks of the CPU's kernels, and of what the machine could do at most. */
package dev.polyphon.measure.kernels;
