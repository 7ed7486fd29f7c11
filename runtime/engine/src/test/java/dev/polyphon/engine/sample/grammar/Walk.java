package dev.polyphon.engine.sample.grammar;

import dev.polyphon.engine.sample.Vocabulary;
import dev.polyphon.runtime.Grammar;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;

/** Follows constraints over a small vocabulary: every byte, pieces of JSON and of words, and an end token. */
final class Walk {
    private static final List<byte[]> TOKENS = tokens();
    private static final int END = TOKENS.size();
    static final Vocabulary VOCABULARY = new Vocabulary(END + 1, Set.of(END), id -> id < END ? TOKENS.get(id) : new byte[0]);

    private Walk() {}

    private static List<byte[]> tokens() {
        var tokens = new ArrayList<byte[]>();
        for (int b = 0; b < 256; b++) {
            tokens.add(new byte[] {(byte) b});
        }
        for (String piece : List.of("{\"", "\":", "\": ", "\", \"", "\"}", "}}", "[]", "], ", "true", "false", "null", "-1", "10", "0.", "e+", "ab", "abc", "cab", "  ",
                "\n  ", "\\u00", "\\\"", "name", "\"name", "ä", "日本", "日", "\ud83d\ude00", "12", "2024-", "-02-29")) {
            tokens.add(piece.getBytes(StandardCharsets.UTF_8));
        }
        // A part of a character.
        tokens.add(new byte[] {(byte) 0xe6, (byte) 0x97});
        return tokens;
    }

    static Grammars grammars() {
        return new Grammars(VOCABULARY, false, Runnable::run);
    }

    private static boolean[] allowed(Constraint constraint) {
        float[] row = new float[END + 1];
        constraint.apply(row, new int[] {END});
        boolean[] allowed = new boolean[row.length];
        for (int i = 0; i < row.length; i++) {
            allowed[i] = row[i] == 0;
        }
        return allowed;
    }

    /** Whether every token of some split of the text is let through, and then the end. */
    static boolean accepts(Grammars grammars, Grammar grammar, String text, Random random) {
        Constraint constraint = grammars.constrain(grammar);
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        for (int at = 0; at < bytes.length; ) {
            List<Integer> fitting = new ArrayList<>();
            for (int token = 0; token < END; token++) {
                byte[] piece = TOKENS.get(token);
                if (at + piece.length <= bytes.length && java.util.Arrays.equals(piece, 0, piece.length, bytes, at, at + piece.length)) {
                    fitting.add(token);
                }
            }
            int token = fitting.get(random.nextInt(fitting.size()));
            if (constraint.complete() || !allowed(constraint)[token]) {
                return false;
            }
            constraint.advance(token);
            at += TOKENS.get(token).length;
        }
        return constraint.complete() || allowed(constraint)[END];
    }

    /** An output that chance chose among what is let through, ended where it may; null when it grew too long. */
    static String random(Grammars grammars, Grammar grammar, Random random) {
        Constraint constraint = grammars.constrain(grammar);
        var out = new ByteArrayOutputStream();
        for (int step = 0; step < 400; step++) {
            if (constraint.complete()) {
                return out.toString(StandardCharsets.UTF_8);
            }
            boolean[] allowed = allowed(constraint);
            if (allowed[END] && (random.nextInt(3) == 0 || step > 60)) {
                return out.toString(StandardCharsets.UTF_8);
            }
            List<Integer> choices = new ArrayList<>();
            for (int token = 0; token < END; token++) {
                if (allowed[token]) {
                    choices.add(token);
                }
            }
            if (choices.isEmpty()) {
                throw new AssertionError("nothing may follow " + out.toString(StandardCharsets.UTF_8));
            }
            List<Integer> ending = choices.stream().filter(t -> "\"}],".indexOf(TOKENS.get(t)[0]) >= 0).toList();
            List<Integer> from = !ending.isEmpty() && (step > 30 || random.nextInt(4) == 0) ? ending : choices;
            int token = from.get(random.nextInt(from.size()));
            out.writeBytes(TOKENS.get(token));
            constraint.advance(token);
        }
        return null;
    }
}
