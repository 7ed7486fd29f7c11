package dev.polyphon.engine.schedule;

import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.AdapterWeights.Prefix;
import dev.polyphon.engine.model.AdapterWeights.Span;
import java.util.Arrays;
import java.util.List;

/**
 * One continuation of one prompt as the scheduler sees it: its tokens, how many of them the cache holds, and in which blocks. Used by the step
 * loop's thread alone once it was handed over.
 */
public class Sequence {
    private static final int[] NO_BLOCKS = {};
    private static final long WAITING = -1;
    static final long UNCHAINED = 0;

    private final AdapterWeights adapter;
    private final int prefixLength;
    private final int given;
    private final List<Span> spans;
    private final int promptLength;
    private int[] tokens;
    private int length;
    private int computed;
    private int[] blocks = NO_BLOCKS;
    private int blockCount;
    private final Standing standing;
    private Client client;
    private long arrival;
    private long admission = WAITING;
    private boolean begun;
    private int counted;
    private int cachedTokens;
    private int chained;
    private long chain = UNCHAINED;

    /** A sequence that stands like any other. */
    public Sequence(int[] prompt, AdapterWeights adapter) {
        this(prompt, adapter, Standing.DEFAULT);
    }

    /**
     * @param prompt at least one token
     * @param adapter what its rows use; null for the base alone. What the adapter puts before the first token takes the first positions
     */
    Sequence(int[] prompt, AdapterWeights adapter, Standing standing) {
        if (prompt.length == 0) {
            throw new IllegalArgumentException("a prompt has at least one token");
        }
        this.adapter = adapter;
        this.standing = standing;
        prefixLength = adapter == null ? 0 : adapter.prefixLength();
        given = adapter != null && adapter.prefix() instanceof Prefix.KeysValues ? prefixLength : 0;
        spans = adapter == null ? List.of() : adapter.spans(prompt).stream().map(this::shifted).toList();
        tokens = new int[prefixLength + prompt.length + 16];
        for (int i = 0; i < prefixLength; i++) {
            tokens[i] = -1 - i;
        }
        System.arraycopy(prompt, 0, tokens, prefixLength, prompt.length);
        promptLength = prompt.length;
        length = prefixLength + prompt.length;
        computed = given;
        counted = given;
    }

    /** By position in the sequence; what acts from the prompt's first token on acts on what the adapter puts before it as well. */
    private Span shifted(Span span) {
        return new Span(span.adapter(), span.from() == 0 ? 0 : span.from() + prefixLength,
                (int) Math.min((long) span.to() + prefixLength, Integer.MAX_VALUE));
    }

    public final AdapterWeights adapter() {
        return adapter;
    }

    /** Positions before the first token. */
    public final int prefixLength() {
        return prefixLength;
    }

    /** Positions whose keys and values the adapter brings along, so that they are not computed. */
    final int given() {
        return given;
    }

    /** The positions whose rows use the adapter, in order. */
    final List<Span> spans() {
        return spans;
    }

    /** Tokens of the prompt, the adapter's prefix not counted. */
    public final int promptTokens() {
        return promptLength;
    }

    /** Positions known: the adapter's prefix, the prompt and what was generated. */
    public final int length() {
        return length;
    }

    public final int generated() {
        return length - prefixLength - promptLength;
    }

    /** Positions whose keys and values are in the cache, or brought along. */
    public final int computed() {
        return computed;
    }

    /** Tokens still to be computed: one while decoding, more in prefill. */
    public final int pending() {
        return length - computed;
    }

    /** Positions from the first on whose keys and values another sequence may have computed: what is wanted of the others is more than those. */
    int reusable() {
        return length - 1;
    }

    /** The token at a position; below 0 in the adapter's prefix. */
    public final int token(int position) {
        return tokens[position];
    }

    public final int[] blocks() {
        return blocks;
    }

    public final int blockCount() {
        return blockCount;
    }

    final Standing standing() {
        return standing;
    }

    /** Whom its service is counted to; null before it was handed to a scheduler. */
    final Client client() {
        return client;
    }

    /** Number among all sequences in order of arrival. */
    final long arrival() {
        return arrival;
    }

    final void arrives(Client of, long number) {
        client = of;
        arrival = number;
    }

    /** Number among all admissions, later ones being greater. */
    final long admission() {
        return admission;
    }

    /** Whether it is in the batch. */
    final boolean admitted() {
        return admission != WAITING;
    }

    /** Whether it has ever been in the batch. */
    final boolean begun() {
        return begun;
    }

    /** Joins the batch with so many positions computed already. */
    final void enters(long number) {
        admission = number;
        client.running++;
        if (!begun) {
            begun = true;
            cachedTokens = Math.max(0, computed - prefixLength);
            countPrompt(computed);
        }
    }

    /** Tokens of the prompt that had not to be computed when it first joined the batch. */
    final int cachedTokens() {
        return cachedTokens;
    }

    /** How many of its blocks the prefix cache knows. */
    final int chained() {
        return chained;
    }

    /** The number under which the last of those is known. */
    final long chain() {
        return chain;
    }

    /** Notes that the next block is known under a number. */
    final void chain(long number) {
        chain = number;
        chained++;
    }

    final void leaves() {
        admission = WAITING;
        client.running--;
    }

    /** How many positions of the prompt, and of what the adapter puts before it, up to this one were not counted before; from now on they are. */
    final int countPrompt(int upTo) {
        int more = Math.max(0, Math.min(upTo, prefixLength + promptLength) - counted);
        counted += more;
        return more;
    }

    final void append(int token) {
        if (length == tokens.length) {
            tokens = Arrays.copyOf(tokens, 2 * length);
        }
        tokens[length++] = token;
    }

    final void advance(int rows) {
        computed += rows;
    }

    final void advanceTo(int position) {
        computed = position;
    }

    public final void addBlock(int block) {
        if (blockCount == blocks.length) {
            blocks = Arrays.copyOf(blocks, Math.max(8, 2 * blockCount));
        }
        blocks[blockCount++] = block;
    }

    /** Gives all blocks back; what was in them has to be computed again. */
    final void releaseBlocks(BlockPool pool) {
        for (int i = blockCount - 1; i >= 0; i--) {
            // Of what is kept, the end goes first: without its beginning it is worth nothing.
            pool.release(blocks[i]);
        }
        blocks = NO_BLOCKS;
        blockCount = 0;
        chained = 0;
        chain = UNCHAINED;
        computed = given;
    }
}
