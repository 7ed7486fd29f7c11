package dev.polyphon.engine.adapter;

import java.io.IOException;

/** Reads one family of adapters into forms. */
@FunctionalInterface
interface AdapterReader {

    /**
     * @param task which of a multi-task adapter's tasks or languages; null when the request names none
     * @throws AdapterFault when the adapter is not understood or does not fit the base
     */
    void read(AdapterOptions options, AdapterTensors tensors, String task, AdapterBuilder out) throws IOException;
}
