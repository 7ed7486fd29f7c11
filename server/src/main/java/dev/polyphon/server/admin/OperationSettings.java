package dev.polyphon.server.admin;

import java.nio.file.Path;

/**
 * What operations on adapters may take.
 *
 * @param folder where results are written; null for nowhere, so that only what writes nothing can be asked for
 * @param running how many run at once
 * @param waiting how many may wait for those
 * @param kept how many that have ended can still be asked about
 * @param calibrationTokens how many tokens the texts may have that an operation runs the base on
 */
public record OperationSettings(Path folder, int running, int waiting, int kept, int calibrationTokens) {}
