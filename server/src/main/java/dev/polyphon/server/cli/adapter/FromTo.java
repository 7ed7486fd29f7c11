package dev.polyphon.server.cli.adapter;

import picocli.CommandLine.Parameters;

/** The adapter that an operation reads, and what it makes. */
final class FromTo {
    @Parameters(index = "0", paramLabel = "ADAPTER", description = "Folder of the adapter.")
    String adapter;

    @Parameters(index = "1", paramLabel = "TO", description = "Folder to write; must not exist.")
    String to;
}
