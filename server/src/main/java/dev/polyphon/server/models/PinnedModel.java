package dev.polyphon.server.models;

import static dev.polyphon.server.models.ModelCatalog.require;

import java.util.List;
import java.util.regex.Pattern;

/**
 * One model of the catalogue: a file known by its content.
 *
 * @param file the name it gets in the cache
 * @param bytes its exact length
 * @param sha256 of its content, 64 lower-case hexadecimal digits
 * @param sources tried in this order
 */
record PinnedModel(String description, String license, String file, long bytes, String sha256, List<ModelSource> sources) {
    private static final Pattern FILE = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._+-]*");
    private static final Pattern SHA256 = Pattern.compile("[0-9a-f]{64}");

    PinnedModel {
        require(file != null && FILE.matcher(file).matches(), "file must be a plain file name, not " + file);
        require(bytes > 0, "bytes must be the file's length, not " + bytes);
        require(sha256 != null && SHA256.matcher(sha256).matches(), "sha256 must be 64 lower-case hexadecimal digits, not " + sha256);
        require(sources != null && !sources.isEmpty(), "sources is empty");
        sources = List.copyOf(sources);
    }
}
