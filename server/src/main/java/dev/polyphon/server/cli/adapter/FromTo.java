package dev.polyphon.server.cli.adapter;

import java.nio.file.Path;
import picocli.CommandLine.Parameters;

/** The adapter that an operation reads, and where it writes. */
final class FromTo {
    @Parameters(index = "0", paramLabel = "ADAPTER", description = "Folder of the adapter.")
    Path adapter;

    @Parameters(index = "1", paramLabel = "TO", description = "Folder to write; must not exist.")
    Path to;
}
