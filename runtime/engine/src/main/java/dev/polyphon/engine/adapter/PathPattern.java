package dev.polyphon.engine.adapter;

import java.util.regex.Pattern;

/**
 * A regular expression that came with an adapter, for module paths. Whoever wrote it may not make the server try for ever: a match that looks at more
 * characters than any honest one is given up.
 *
 * @param option where it stands, for messages
 */
record PathPattern(String option, Pattern pattern) {
    private static final int MOST_STEPS = 100_000;

    boolean matches(String path) throws AdapterFault {
        try {
            return pattern.matcher(new Counted(path, new int[1])).matches();
        } catch (TooLong | StackOverflowError e) {
            throw new AdapterFault(option + " has a pattern that takes too long: " + pattern);
        }
    }

    private static final class TooLong extends RuntimeException {
        private static final long serialVersionUID = 1;

        TooLong() {
            super(null, null, false, false);
        }
    }

    /** Counts how often it is looked at. */
    private record Counted(CharSequence text, int[] looks) implements CharSequence {
        @Override
        public char charAt(int index) {
            if (++looks[0] > MOST_STEPS) {
                throw new TooLong();
            }
            return text.charAt(index);
        }

        @Override
        public int length() {
            return text.length();
        }

        @Override
        public CharSequence subSequence(int start, int end) {
            return new Counted(text.subSequence(start, end), looks);
        }

        @Override
        public String toString() {
            return text.toString();
        }
    }
}
