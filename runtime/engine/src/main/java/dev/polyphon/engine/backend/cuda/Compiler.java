package dev.polyphon.engine.backend.cuda;

/** Makes machine code of a source. */
interface Compiler {
    /** What the result depends on beside source and architecture. */
    String version();

    /** @throws CudaException with the compiler's messages */
    byte[] compile(String name, String source, String header, String architecture);
}
