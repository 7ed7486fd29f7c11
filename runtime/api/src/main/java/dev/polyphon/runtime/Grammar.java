package dev.polyphon.runtime;

import java.util.List;
import java.util.Objects;

/** What an output must look like. An output that ends by itself, not by its token limit, matches the grammar as a whole. */
public sealed interface Grammar {

    /** Any JSON object (RFC 8259). */
    record JsonObject() implements Grammar {}

    /**
     * JSON that is valid under a schema.
     *
     * @param schema a JSON Schema (draft 2020-12) as JSON text
     */
    record JsonSchema(String schema) implements Grammar {
        public JsonSchema {
            Objects.requireNonNull(schema);
        }
    }

    /** Text that a regular expression matches from its beginning to its end. */
    record Regex(String pattern) implements Grammar {
        public Regex {
            Objects.requireNonNull(pattern);
        }
    }

    /** One of these texts. */
    record Choice(List<String> texts) implements Grammar {
        public Choice {
            texts = List.copyOf(texts);
        }
    }

    /** What several grammars say, one after the other. */
    record Sequence(List<Grammar> parts) implements Grammar {
        public Sequence {
            parts = List.copyOf(parts);
        }
    }

    /**
     * A context-free grammar.
     *
     * @param rules in the notation of GBNF (llama.cpp), {@code name ::= expression}, beginning at the rule {@code root}
     */
    record Rules(String rules) implements Grammar {
        public Rules {
            Objects.requireNonNull(rules);
        }
    }
}
