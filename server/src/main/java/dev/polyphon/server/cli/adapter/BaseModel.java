package dev.polyphon.server.cli.adapter;

import dev.polyphon.engine.model.Checkpoint;
import java.io.IOException;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** The base of the adapters that an operation reads. */
final class BaseModel {
    @Option(names = "--base", paramLabel = "MODEL", required = true, description = "The base: a Hugging Face folder or a GGUF file.")
    private Path path;

    /** Opens it; the caller closes it. */
    Checkpoint open() throws IOException {
        return Checkpoint.open(path);
    }
}
