package dev.polyphon.engine.sample.grammar;

import java.util.Arrays;
import java.util.BitSet;
import java.util.function.IntFunction;

/** A vocabulary's texts in the order of their bytes, so that what neighbours have in common is walked through once. Immutable, one per model. */
final class TokenTable {
    private final int[] ids;
    private final byte[][] texts;
    private final int[] shared;
    private final int words;
    private final int longest;
    private final BitSet spelled = new BitSet(256);

    /** @param bytes a token's text; tokens without one are left out */
    TokenTable(int vocabulary, IntFunction<byte[]> bytes) {
        record Token(int id, byte[] text) {}
        Token[] sorted = java.util.stream.IntStream.range(0, vocabulary)
                .mapToObj(id -> new Token(id, bytes.apply(id)))
                .filter(token -> token.text.length > 0)
                .sorted((a, b) -> Arrays.compareUnsigned(a.text, b.text))
                .toArray(Token[]::new);
        ids = Arrays.stream(sorted).mapToInt(Token::id).toArray();
        texts = Arrays.stream(sorted).map(Token::text).toArray(byte[][]::new);
        shared = new int[ids.length];
        int most = 0;
        for (int i = 0; i < ids.length; i++) {
            most = Math.max(most, texts[i].length);
            if (i > 0) {
                int mismatch = Arrays.mismatch(texts[i - 1], texts[i]);
                shared[i] = mismatch < 0 ? texts[i].length : mismatch;
            }
            if (texts[i].length == 1) {
                spelled.set(texts[i][0] & 0xFF);
            }
        }
        longest = most;
        words = (vocabulary + 63) / 64;
    }

    /** Tokens with a text. */
    int count() {
        return ids.length;
    }

    int id(int index) {
        return ids[index];
    }

    int length(int index) {
        return texts[index].length;
    }

    byte at(int index, int position) {
        return texts[index][position];
    }

    /** How many bytes a token begins with that the one before it begins with, too. */
    int shared(int index) {
        return shared[index];
    }

    /** Of the longest token. */
    int longest() {
        return longest;
    }

    /** Length of a bit mask of the vocabulary. */
    int words() {
        return words;
    }

    /** Bytes that are a token by themselves. */
    BitSet spelled() {
        return spelled;
    }
}
