package dev.polyphon.runtime;

import java.nio.file.Path;
import java.util.Map;

/** Makes something of adapters. */
@FunctionalInterface
public interface AdapterOperations {

    /**
     * Performs an operation, on the thread that calls: it reads files, computes, and may take minutes.
     *
     * <p>What goes wrong is a {@link RuntimeFault}: {@code UNKNOWN_ADAPTER}, {@code INVALID} for options that are out of range, {@code ADAPTER_UNUSABLE} for
     * an adapter that cannot be read or that this cannot be done with, {@code CONFLICT} when {@code to} exists. Then nothing is left of it.
     *
     * @param tenant who names the adapters
     * @param to what to write, whole or not at all; must not exist. Null where the operation's outcome is a report
     * @param progress hears how far it has come, and may end it
     * @return what there is to tell, by name: texts, numbers, and lists and maps of them
     */
    Map<String, Object> perform(String tenant, AdapterOperation operation, Path to, OperationProgress progress);
}
