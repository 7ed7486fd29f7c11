package dev.polyphon.server.observe;

/**
 * What is measured and logged.
 *
 * @param adapterLabels how many adapters have metrics of their own; the rest share the label {@code other}
 * @param tenantLabels the same for tenants
 * @param batchAdapters most adapters that one batch can have
 * @param jvm whether memory, collections and threads of the JVM are measured too
 * @param accessLog how answers are logged
 * @param traces where traces go
 */
public record ObserveSettings(int adapterLabels, int tenantLabels, int batchAdapters, boolean jvm, AccessLog accessLog, TraceSettings traces) {}
