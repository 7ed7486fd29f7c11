package dev.polyphon.server.observe;

/**
 * What is measured and logged.
 *
 * @param adapterLabels how many adapters have metrics of their own; the rest share the label {@code other}
 * @param jvm whether memory, collections and threads of the JVM are measured too
 * @param accessLog whether every answer is logged
 */
public record ObserveSettings(int adapterLabels, boolean jvm, boolean accessLog) {}
