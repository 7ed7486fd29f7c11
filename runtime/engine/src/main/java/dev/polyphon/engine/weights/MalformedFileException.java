package dev.polyphon.engine.weights;

import java.io.IOException;
import java.nio.file.Path;

/** A file is damaged, hostile or of a kind that is not supported. The message names the file, the place in it, what was expected and what was found. */
public final class MalformedFileException extends IOException {

    /** Names inside files can be megabytes long; a message is read by people. */
    private static final int LONGEST = 1000;

    private final transient Path file;

    public MalformedFileException(Path file, String problem) {
        super(file + ": " + (problem.length() <= LONGEST ? problem : problem.substring(0, LONGEST) + "..."));
        this.file = file;
    }

    public MalformedFileException(Path file, String problem, Throwable cause) {
        this(file, problem);
        initCause(cause);
    }

    public Path file() {
        return file;
    }
}
