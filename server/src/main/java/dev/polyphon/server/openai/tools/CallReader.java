package dev.polyphon.server.openai.tools;

import dev.polyphon.runtime.ToolFormat;
import java.util.HexFormat;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Finds the calls in what a model writes, as it writes it. What only looks like a call is passed on as text, and nothing of a call is. Text is held back
 * while it may still become one.
 */
public final class CallReader {
    private static final String HERMES_BEGIN = "<tool_call>";
    private static final String HERMES_END = "</tool_call>";
    private static final String MISTRAL_BEGIN = "[TOOL_CALLS]";
    private static final String ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    private static final int MISTRAL_ID = 9;

    private enum State {
        /** Nothing but spaces so far. */
        START,
        TEXT,
        /** Where a call's object, or in a list the list, may begin. */
        BEFORE_CALL,
        CALL,
        /** Behind a call. */
        AFTER_CALL
    }

    private final ToolFormat format;
    private final Set<String> names;
    private final Calls out;
    private final StringBuilder held = new StringBuilder();
    private State state = State.START;
    private CallScanner scanner;
    private boolean tagged;
    private int calls;

    /**
     * @param format HERMES, LLAMA3_JSON or MISTRAL
     * @param names of the tools there are; what bears no tag is a call only when it names one of them
     */
    public CallReader(ToolFormat format, Set<String> names, Calls out) {
        this.format = format;
        this.names = names;
        this.out = out;
    }

    /** Calls found so far. */
    public int calls() {
        return calls;
    }

    public void push(String text) {
        for (int i = 0; i < text.length(); i++) {
            push(text.charAt(i));
        }
        if (state == State.TEXT) {
            release(false);
        }
    }

    /** The model has ended. */
    public void end() {
        if (state == State.CALL && scanner.named()) {
            held.setLength(0);
        }
        if (calls > 0 && held.toString().isBlank() || state == State.AFTER_CALL) {
            return;
        }
        release(true);
    }

    private void push(char c) {
        held.append(c);
        switch (state) {
            case START -> start(c);
            case TEXT -> text();
            case BEFORE_CALL -> beforeCall(c);
            case CALL -> call(c);
            case AFTER_CALL -> afterCall(c);
        }
    }

    private void start(char c) {
        if (Character.isWhitespace(c)) {
            return;
        }
        boolean bare = format == ToolFormat.LLAMA3_JSON && c == '{' || format == ToolFormat.MISTRAL && c == '[';
        if (bare) {
            state = State.BEFORE_CALL;
            beforeCall(c);
        } else {
            state = State.TEXT;
            text();
        }
    }

    /** Looks for the tag that begins a call. */
    private void text() {
        String tag = tag();
        if (tag != null && held.length() >= tag.length() && held.indexOf(tag, held.length() - tag.length()) >= 0) {
            String before = held.substring(0, held.length() - tag.length()).stripTrailing();
            if (!before.isEmpty()) {
                out.content(before);
            }
            held.delete(0, before.length());
            tagged = true;
            state = State.BEFORE_CALL;
        }
    }

    private String tag() {
        return format == ToolFormat.HERMES ? HERMES_BEGIN : format == ToolFormat.MISTRAL ? MISTRAL_BEGIN : null;
    }

    private void beforeCall(char c) {
        if (c == '{') {
            state = State.CALL;
            scanner = new CallScanner(new Found());
            scanner.push(c);
        } else if (format == ToolFormat.MISTRAL && !tagged && held.toString().strip().length() > 1 && isTagBegun()) {
            // The beginning of a list may be that of the tag.
            if (held.toString().strip().equals(MISTRAL_BEGIN)) {
                tagged = true;
            }
        } else if (!Character.isWhitespace(c) && !(format == ToolFormat.MISTRAL && c == '[')) {
            state = State.TEXT;
        }
    }

    private boolean isTagBegun() {
        return MISTRAL_BEGIN.startsWith(held.toString().strip());
    }

    private void call(char c) {
        switch (scanner.push(c)) {
            case OPEN -> {}
            case CLOSED -> {
                held.setLength(0);
                state = State.AFTER_CALL;
            }
            case BROKEN -> {
                // All of it was text; what has been told of as a call stays one.
                if (scanner.named()) {
                    held.setLength(0);
                }
                tagged = false;
                state = State.TEXT;
            }
        }
    }

    private void afterCall(char c) {
        switch (format) {
            case HERMES -> {
                if (held.indexOf(HERMES_END) >= 0) {
                    held.setLength(0);
                    tagged = false;
                    state = State.TEXT;
                }
            }
            case LLAMA3_JSON, MISTRAL -> {
                if (c == '{') {
                    held.setLength(0);
                    held.append(c);
                    state = State.BEFORE_CALL;
                    beforeCall(c);
                }
            }
            case NONE, OTHER -> throw new IllegalStateException("no calls are read of " + format);
        }
    }

    /** Passes on what cannot become a call any more. */
    private void release(boolean all) {
        int keep = all ? 0 : kept();
        if (held.length() > keep) {
            out.content(held.substring(0, held.length() - keep));
            held.delete(0, held.length() - keep);
        }
    }

    /** Length of the end of the text that may belong to a tag: spaces, and a tag's beginning. */
    private int kept() {
        String tag = tag();
        if (tag == null) {
            return 0;
        }
        int begun = Math.min(tag.length() - 1, held.length());
        while (!tag.startsWith(held.substring(held.length() - begun))) {
            begun--;
        }
        int keep = begun;
        while (keep < held.length() && Character.isWhitespace(held.charAt(held.length() - keep - 1))) {
            keep++;
        }
        return keep;
    }

    private final class Found implements CallScanner.Listener {
        private int index;

        @Override
        public boolean name(String name) {
            if (!tagged && !names.contains(name)) {
                return false;
            }
            index = calls++;
            out.call(index, id(), name);
            return true;
        }

        @Override
        public void arguments(String piece) {
            out.arguments(index, piece);
        }
    }

    /** A new name for a call: Mistral's templates take nine letters and digits and nothing else. */
    private String id() {
        var random = ThreadLocalRandom.current();
        if (format != ToolFormat.MISTRAL) {
            return "call_" + HexFormat.of().toHexDigits(random.nextLong()) + HexFormat.of().toHexDigits(random.nextInt());
        }
        var id = new StringBuilder();
        for (int i = 0; i < MISTRAL_ID; i++) {
            id.append(ALPHABET.charAt(random.nextInt(ALPHABET.length())));
        }
        return id.toString();
    }
}
