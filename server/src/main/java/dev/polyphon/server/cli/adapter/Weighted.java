package dev.polyphon.server.cli.adapter;

/** A folder with its weight, written {@code FOLDER=WEIGHT}, or {@code FOLDER} for 1. */
record Weighted(String folder, double weight) {
    static Weighted of(String text) {
        int equals = text.lastIndexOf('=');
        try {
            return equals < 0 ? new Weighted(text, 1) : new Weighted(text.substring(0, equals), Double.parseDouble(text.substring(equals + 1)));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("a weight must be a number, found " + text.substring(equals + 1), e);
        }
    }
}
