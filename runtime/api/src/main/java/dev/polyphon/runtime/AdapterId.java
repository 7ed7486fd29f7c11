package dev.polyphon.runtime;

import java.util.Objects;
import java.util.regex.Pattern;

/**
 * Whose adapter, and its name. Names are unique for an owner; two owners may use the same one for different adapters.
 *
 * <p>Only these characters are let in, so that no two names look alike and none means anything to a file system, a log or a URL.
 *
 * @param owner a tenant, or {@link #SHARED}
 * @param name what requests call it: letters and digits of ASCII, and {@code . _ - : /}, where no part between slashes is empty or begins with a dot
 */
public record AdapterId(String owner, String name) implements Comparable<AdapterId> {
    /** The owner of adapters that every tenant may use. */
    public static final String SHARED = "";

    private static final int LONGEST = 200;
    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._:-]*(/[A-Za-z0-9_][A-Za-z0-9._:-]*)*");

    /** Throws a {@link RuntimeFault} of kind {@code INVALID} for a name that is not allowed. */
    public AdapterId {
        Objects.requireNonNull(owner);
        if (!owner.isEmpty()) {
            check("owner", owner);
        }
        check("name", name);
    }

    /** An adapter that every tenant may use. */
    public static AdapterId shared(String name) {
        return new AdapterId(SHARED, name);
    }

    /** Whether a text may be an adapter's name. */
    public static boolean isName(String text) {
        return text.length() <= LONGEST && NAME.matcher(text).matches();
    }

    private static void check(String field, String text) {
        if (text == null || text.isEmpty()) {
            throw RuntimeFault.invalid(field, "an adapter's " + field + " must not be empty");
        }
        if (text.length() > LONGEST) {
            throw RuntimeFault.invalid(field, "an adapter's " + field + " may have " + LONGEST + " characters, found " + text.length());
        }
        if (!NAME.matcher(text).matches()) {
            throw RuntimeFault.invalid(field, "an adapter's " + field + " may have ASCII letters, digits and . _ - : and, between parts that begin with a "
                    + "letter, a digit or _, slashes; found " + quoted(text));
        }
    }

    /** As in source code, so that no look-alike or control character reaches a log. */
    private static String quoted(String text) {
        StringBuilder out = new StringBuilder("\"");
        text.chars().forEach(c -> {
            if (c >= ' ' && c < 127) {
                out.append((char) c);
            } else {
                out.append("\\u%04x".formatted(c));
            }
        });
        return out.append('"').toString();
    }

    public boolean isShared() {
        return owner.isEmpty();
    }

    /** By name, then owner: a listing shows what is called the same side by side. */
    @Override
    public int compareTo(AdapterId other) {
        int byName = name.compareTo(other.name);
        return byName != 0 ? byName : owner.compareTo(other.owner);
    }

    @Override
    public String toString() {
        return isShared() ? name : name + " of " + owner;
    }
}
