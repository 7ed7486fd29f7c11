package dev.polyphon.client;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A request for tokens of a model, which is a base or an adapter. */
public sealed interface Request {
    String model();

    /** Fields of the API beside the model and the prompt, by their names there: {@code max_tokens}, {@code temperature}, {@code seed}, ... */
    Map<String, Object> fields();

    /** A text to continue. */
    record Completion(String model, String prompt, Map<String, Object> fields) implements Request {
        public Completion {
            fields = Map.copyOf(fields);
        }

        public Completion(String model, String prompt) {
            this(model, prompt, Map.of());
        }

        /** The same request with one more field. */
        public Completion with(String field, Object value) {
            return new Completion(model, prompt, plus(fields, field, value));
        }
    }

    /** A conversation to answer. */
    record Chat(String model, List<Message> messages, Map<String, Object> fields) implements Request {
        public Chat {
            messages = List.copyOf(messages);
            fields = Map.copyOf(fields);
        }

        public Chat(String model, List<Message> messages) {
            this(model, messages, Map.of());
        }

        /** The same request with one more field. */
        public Chat with(String field, Object value) {
            return new Chat(model, messages, plus(fields, field, value));
        }
    }

    private static Map<String, Object> plus(Map<String, Object> fields, String field, Object value) {
        var more = new LinkedHashMap<>(fields);
        more.put(field, value);
        return more;
    }
}
