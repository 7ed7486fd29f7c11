/** Several runtimes of the same base, one for each device, behind one. */
package dev.polyphon.engine.replica;
