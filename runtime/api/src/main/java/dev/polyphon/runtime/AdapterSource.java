package dev.polyphon.runtime;

import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Objects;
import java.util.regex.Pattern;

/** Where an adapter's files come from. Its text, {@link #uri}, is what {@link #parse} reads. Secrets are never part of it: they are settings. */
public sealed interface AdapterSource {

    /** As stored and shown. */
    String uri();

    /** A folder on this machine; it is read in place, and a change in it makes a new version. */
    record Folder(Path path) implements AdapterSource {
        public Folder {
            path = path.toAbsolutePath().normalize();
        }

        @Override
        public String uri() {
            return path.toString();
        }
    }

    /**
     * A repository in the layout of the Hugging Face hub, at the hub that the runtime is set up for.
     *
     * @param repository {@code organisation/name}
     * @param revision a branch, tag or commit
     */
    record Hub(String repository, String revision) implements AdapterSource {
        private static final Pattern REPOSITORY = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*");
        private static final Pattern REVISION = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*");

        public Hub {
            require(REPOSITORY, repository, "a hub's repository is ORGANISATION/NAME");
            require(REVISION, revision, "a hub's revision is a branch, a tag or a commit");
        }

        @Override
        public String uri() {
            return "hf://" + repository + "@" + revision;
        }
    }

    /**
     * The objects below a prefix of a bucket, at the S3-compatible store that the runtime is set up for.
     *
     * @param prefix without slashes at its ends
     */
    record S3(String bucket, String prefix) implements AdapterSource {
        private static final Pattern BUCKET = Pattern.compile("[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]");
        private static final Pattern PREFIX = Pattern.compile("[A-Za-z0-9_!'()*.=+:@ -]+(/[A-Za-z0-9_!'()*.=+:@ -]+)*");

        public S3 {
            require(BUCKET, bucket, "an S3 bucket's name has 3 to 63 of a-z, 0-9, . and -");
            require(PREFIX, prefix, "an S3 prefix is parts of ASCII letters, digits and marks between slashes");
            if (("/" + prefix + "/").contains("/../")) {
                throw RuntimeFault.invalid("source", "an S3 prefix has no part '..', found '" + prefix + "'");
            }
        }

        @Override
        public String uri() {
            return "s3://" + bucket + "/" + prefix;
        }
    }

    /** What was sent to {@link AdapterCatalog#upload}: its only copy is the runtime's. */
    record Upload() implements AdapterSource {
        @Override
        public String uri() {
            return "upload:";
        }
    }

    private static void require(Pattern pattern, String text, String rule) {
        if (text == null || text.length() > 500 || !pattern.matcher(text).matches()) {
            throw RuntimeFault.invalid("source", rule + ", found '" + text + "'");
        }
    }

    /**
     * Reads {@code hf://ORGANISATION/NAME[@REVISION]}, {@code s3://BUCKET/PREFIX}, {@code upload:}, {@code file:///FOLDER} or a folder's path. Throws a
     * {@link RuntimeFault} of kind {@code INVALID} for anything else.
     */
    static AdapterSource parse(String text) {
        Objects.requireNonNull(text);
        if (text.equals("upload:")) {
            return new Upload();
        }
        if (text.startsWith("hf://")) {
            String rest = text.substring("hf://".length());
            int at = rest.indexOf('@');
            return at < 0 ? new Hub(rest, "main") : new Hub(rest.substring(0, at), rest.substring(at + 1));
        }
        if (text.startsWith("s3://")) {
            String rest = text.substring("s3://".length());
            int slash = rest.indexOf('/');
            if (slash < 0) {
                throw RuntimeFault.invalid("source", "an S3 source is s3://BUCKET/PREFIX, found '" + text + "'");
            }
            return new S3(rest.substring(0, slash), rest.substring(slash + 1).replaceAll("/+$", ""));
        }
        String path = text.startsWith("file://") ? text.substring("file://".length()) : text;
        if (path.isEmpty() || path.contains("://")) {
            throw RuntimeFault.invalid("source", "an adapter's source is a folder, hf://ORGANISATION/NAME@REVISION or s3://BUCKET/PREFIX, found '" + text + "'");
        }
        try {
            return new Folder(Path.of(path));
        } catch (InvalidPathException e) {
            throw RuntimeFault.invalid("source", "'" + text.replace('\0', '?') + "' is no path: " + e.getReason());
        }
    }
}
