package dev.polyphon.server.cli;

import java.nio.file.Path;

/** The folder that the program comes in, which the launcher names; the working directory when it is started otherwise. */
final class Home {
    private Home() {}

    static Path folder() {
        return Path.of(System.getProperty("polyphon.home", "."));
    }

    /** The catalogue of base models that comes with the program. */
    static Path catalog() {
        return folder().resolve("configs/models.yaml");
    }
}
