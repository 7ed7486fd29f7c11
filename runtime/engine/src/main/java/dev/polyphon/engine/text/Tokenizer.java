package dev.polyphon.engine.text;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Set;

/** A model's tokenizer. Thread-safe. It owns native memory, which closing releases. */
public final class Tokenizer implements AutoCloseable {
    private static final byte[] NONE = {};

    private final HuggingFaceTokenizer delegate;
    private final byte[][] bytes;
    private final BitSet special;
    private final boolean stripsFirstSpace;
    private final Set<Integer> endTokens;
    private final String bos;
    private final String eos;

    Tokenizer(HuggingFaceTokenizer delegate, byte[][] bytes, BitSet special, boolean stripsFirstSpace, Set<Integer> endTokens, String bos,
            String eos) {
        this.delegate = delegate;
        this.bytes = bytes;
        this.special = special;
        this.stripsFirstSpace = stripsFirstSpace;
        this.endTokens = Set.copyOf(endTokens);
        this.bos = bos;
        this.eos = eos;
    }

    /**
     * The ids of a text. Special tokens written out in it are recognised.
     *
     * @param addSpecialTokens whether to add what the tokenizer puts around a text (a beginning-of-sequence token, say)
     */
    public int[] encode(String text, boolean addSpecialTokens) {
        return Arrays.stream(delegate.encode(text, addSpecialTokens, false).getIds()).mapToInt(Math::toIntExact).toArray();
    }

    /** The text of ids, special tokens left out. */
    public String decode(int[] ids) {
        return decode(ids, false);
    }

    /**
     * The text of ids.
     *
     * @param special whether special tokens are written out
     */
    public String decode(int[] ids, boolean special) {
        TextStream stream = special ? new TextStream(this::written, stripsFirstSpace, List.of()) : stream(List.of());
        StringBuilder text = new StringBuilder();
        for (int id : ids) {
            text.append(stream.push(id));
        }
        return text.append(stream.flush()).toString();
    }

    /** A detokeniser for one sequence that ends at any of these strings. */
    public TextStream stream(List<String> stop) {
        return new TextStream(this::bytes, stripsFirstSpace, stop);
    }

    /** Whether a space at the very beginning of a text is left out. */
    public boolean stripsFirstSpace() {
        return stripsFirstSpace;
    }

    /** One more than the highest id that has a text. */
    public int vocabularySize() {
        return bytes.length;
    }

    /** The bytes a token adds to the text: none for special tokens and for ids without a text. Not to be changed. */
    public byte[] bytes(int token) {
        return token >= 0 && token < bytes.length && !special.get(token) ? bytes[token] : NONE;
    }

    /** The bytes a token is written with, special or not; none for ids without a text. Not to be changed. */
    public byte[] written(int token) {
        return token >= 0 && token < bytes.length && bytes[token] != null ? bytes[token] : NONE;
    }

    public boolean special(int token) {
        return special.get(token);
    }

    /** Tokens at which the model ends its output. */
    public Set<Integer> endTokens() {
        return endTokens;
    }

    /** The beginning-of-sequence token as text; empty when there is none. */
    public String bos() {
        return bos;
    }

    /** The end-of-sequence token as text; empty when there is none. */
    public String eos() {
        return eos;
    }

    @Override
    public void close() {
        delegate.close();
    }
}
