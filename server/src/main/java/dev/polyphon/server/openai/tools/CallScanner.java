package dev.polyphon.server.openai.tools;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;

/**
 * Reads one call, a JSON object with {@code name} and {@code arguments} or {@code parameters}, character by character, and passes the arguments on as
 * they come. It looks at the structure only: whether the arguments are JSON is for whoever reads them to say.
 */
final class CallScanner {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** What becomes of it. */
    enum State {
        OPEN,
        /** The object has ended. */
        CLOSED,
        /** It is no such object. */
        BROKEN
    }

    /** Hears of the call. */
    interface Listener {
        /** False when there is no such tool. */
        boolean name(String name);

        void arguments(String piece);
    }

    private final Listener listener;
    private final StringBuilder token = new StringBuilder();
    private final StringBuilder early = new StringBuilder();
    private State state = State.OPEN;
    private int depth;
    private boolean inString;
    private boolean escaped;
    private boolean afterColon;
    private String key;
    private boolean named;
    private boolean argued;

    CallScanner(Listener listener) {
        this.listener = listener;
    }

    State state() {
        return state;
    }

    /** Whether the call was told of. */
    boolean named() {
        return named;
    }

    /** Takes the next character, of which the first is the opening brace. */
    State push(char c) {
        if (inString) {
            string(c);
        } else if (c == '"') {
            inString = true;
            if (depth == 1 && afterColon || depth == 1 && key == null) {
                token.setLength(0);
            }
            value(c);
        } else if (c == '{' || c == '[') {
            depth++;
            if (depth > 1 && !afterColon) {
                state = State.BROKEN;
            } else if (depth > 1) {
                value(c);
            }
        } else if (c == '}' || c == ']') {
            depth--;
            if (depth == 0) {
                endOfValue();
                close();
            } else {
                value(c);
            }
        } else if (depth == 1 && c == ':' && key != null && !afterColon) {
            afterColon = true;
            token.setLength(0);
        } else if (depth == 1 && c == ',') {
            endOfValue();
        } else if (depth == 1 && !afterColon && !Character.isWhitespace(c)) {
            state = State.BROKEN;
        } else {
            value(c);
        }
        return state;
    }

    private void string(char c) {
        value(c);
        if (escaped) {
            escaped = false;
        } else if (c == '\\') {
            escaped = true;
        } else if (c == '"') {
            inString = false;
            if (depth == 1 && !afterColon) {
                key = text(token.toString());
            }
        }
    }

    /** A character of a key or a value, whatever is in it. */
    private void value(char c) {
        if (depth == 1 && !afterColon) {
            token.append(c);
        } else if (isArguments()) {
            argument(c);
        } else if (depth == 1) {
            token.append(c);
        }
    }

    private boolean isArguments() {
        return afterColon && key != null && (key.equals("arguments") || key.equals("parameters"));
    }

    /** Arguments given as a JSON text in a string are told at their end; others as they come. */
    private void argument(char c) {
        boolean first = token.isEmpty();
        if (depth == 1 && !inString && Character.isWhitespace(c)) {
            return;
        }
        if (first || token.charAt(0) == '"') {
            token.append(c);
        }
        if (token.charAt(0) != '"') {
            tell(String.valueOf(c));
        }
    }

    private void endOfValue() {
        if (isArguments()) {
            if (!token.isEmpty() && token.charAt(0) == '"') {
                tell(text(token.toString().strip()));
            }
        } else if (afterColon && "name".equals(key)) {
            String name = text(token.toString().strip());
            if (name == null || !listener.name(name)) {
                state = State.BROKEN;
                return;
            }
            named = true;
            if (!early.isEmpty()) {
                listener.arguments(early.toString());
                early.setLength(0);
            }
        }
        key = null;
        afterColon = false;
        token.setLength(0);
    }

    private void tell(String piece) {
        if (piece == null) {
            state = State.BROKEN;
            return;
        }
        argued = true;
        if (named) {
            listener.arguments(piece);
        } else {
            early.append(piece);
        }
    }

    private void close() {
        if (state == State.BROKEN || !named) {
            state = State.BROKEN;
            return;
        }
        if (!argued) {
            listener.arguments("{}");
        }
        state = State.CLOSED;
    }

    /** The string that a JSON literal stands for, or null. */
    private static String text(String literal) {
        try {
            JsonNode node = JSON.readTree(literal);
            return node != null && node.isTextual() ? node.textValue() : null;
        } catch (JsonProcessingException e) {
            return null;
        }
    }
}
