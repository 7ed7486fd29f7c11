/** What strangers send or leave on a disk, made up: {@link dev.polyphon.server.fuzz.Targets} takes bytes, from tests and from a coverage-guided fuzzer. */
package dev.polyphon.server.fuzz;
