package dev.polyphon.runtime;

/** Which adapters a runtime merges without being asked to. */
public sealed interface MergeMode {

    /** None. */
    record Never() implements MergeMode {}

    /** Those for which measurements say that it pays. */
    record Auto() implements MergeMode {}

    /** This shared one, always. */
    record Pinned(String adapter) implements MergeMode {}

    MergeMode NEVER = new Never();
    MergeMode AUTO = new Auto();

    /** Reads what {@link #text} writes. @throws RuntimeFault {@code INVALID} with the field {@code mode} */
    static MergeMode parse(String text) {
        if (text.startsWith("pinned:") && AdapterId.isName(text.substring("pinned:".length()))) {
            return new Pinned(text.substring("pinned:".length()));
        }
        return switch (text) {
            case "never" -> NEVER;
            case "auto" -> AUTO;
            default -> throw RuntimeFault.invalid("mode", "mode must be never, auto or pinned:ADAPTER, found '" + text + "'");
        };
    }

    /** As users read and write it: {@code never}, {@code auto} or {@code pinned:ADAPTER}. */
    default String text() {
        return switch (this) {
            case Never _ -> "never";
            case Auto _ -> "auto";
            case Pinned(String adapter) -> "pinned:" + adapter;
        };
    }
}
