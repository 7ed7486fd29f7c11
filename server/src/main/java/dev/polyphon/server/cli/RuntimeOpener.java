package dev.polyphon.server.cli;

import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.config.EngineConfig;
import java.io.IOException;
import java.nio.file.Path;

/** Makes the runtime that a server serves; which kind it is, only the main class knows. */
@FunctionalInterface
public interface RuntimeOpener {

    /**
     * @param name what requests call the model
     * @throws IOException when the model cannot be read
     */
    Runtime open(String name, Path model, EngineConfig config) throws IOException;
}
