package dev.polyphon.server.cli.tenant;

import picocli.CommandLine.Command;

/** {@code polyphon key}, which only has commands below it. */
@Command(name = "key", mixinStandardHelpOptions = true, synopsisSubcommandLabel = "COMMAND", description = "Makes, rotates and revokes API keys.")
public final class KeyCommand {}
