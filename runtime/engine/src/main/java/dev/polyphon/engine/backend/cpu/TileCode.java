package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.cpu.Assembler.Memory;
import dev.polyphon.engine.backend.cpu.Assembler.Register;

/**
 * Machine code for register tiles: the sums of a few input rows with one panel of 32 outputs are kept in registers while k runs, outputs along the
 * lanes and inputs broadcast. All have the same six arguments: the panel's elements, its scales, the first input row, the bytes from one input row
 * to the next, the first row of sums (32 floats; rows next to each other), and how many steps of columns.
 */
final class TileCode {
    /** Input rows of the largest tile of words: two vectors of sums each, and as many registers again for scaling. */
    static final int MOST_WORD_ROWS = 8;
    /** Input rows of the largest tile of floats. */
    static final int MOST_FLOAT_ROWS = 12;
    /** Bytes that a step of words brings nearer: a cache line for each pair of columns. */
    static final int BLOCK = 1024;
    /** Columns in a step of floats; what is left over is done in steps of one. */
    static final int FLOAT_STEP = 16;

    private static final Register ELEMENTS = Register.RDI;
    private static final Register SCALES = Register.RSI;
    private static final Register X = Register.RDX;
    private static final Register STRIDE = Register.RCX;
    private static final Register SUMS = Register.R8;
    private static final Register STEPS = Register.R9;
    private static final Register STRIDE_3 = Register.R10;
    private static final Register X_4 = Register.R11;
    private static final Register X_8 = Register.RAX;
    private static final Register BLOCKS = Register.RAX;
    private static final Register BLOCK_AT = Register.RBX;

    private static final int VECTOR = 64;
    private static final int PANEL_ROW = 2 * VECTOR;
    /** How far ahead the elements are asked for, in bytes; about what arrives while a cache line takes to come. */
    private static final int AHEAD = 4096;

    // Vector registers 0 and up hold sums; the others from the end.
    private static final int W0 = 31;
    private static final int W1 = 30;
    private static final int SCALE_0 = 29;
    private static final int SCALE_1 = 28;
    private static final int MINIMUM_0 = 27;
    private static final int MINIMUM_1 = 26;
    private static final int MASK = 25;

    private final Assembler code = new Assembler();
    private final int rows;

    private TileCode(int rows) {
        this.rows = rows;
    }

    /**
     * {@code sums[r][j] += Σ_g dx[r][g] · d[g][j] · Σ_k q[k][j] · x[r][k]  (+ m[g][j] · t[r][g])}: integers within a group, then floats in the order
     * of groups. A step is a record of {@link QuantisedRows}.
     *
     * @param group columns that share a scale, 32 or 16
     * @param nibbles whether elements are [in / 2][32] nibbles instead of [in / 2][32][2] bytes
     * @param minima whether every scale is followed by a minimum
     * @param ahead whether, with each step, a block of {@link #BLOCK} bytes of anything is brought nearer; a seventh argument has their addresses
     */
    static byte[] words(int rows, int group, boolean nibbles, boolean minima, boolean ahead) {
        TileCode tile = new TileCode(rows);
        tile.rowAddresses();
        Assembler code = tile.code;
        if (ahead) {
            code.push(BLOCK_AT);
            code.load(BLOCKS, Register.RSP.at(16));
        }
        if (nibbles) {
            code.ones(MASK);
            code.shiftWordsRight(MASK, MASK, 12);
        }
        int start = code.here();
        int pairBytes = nibbles ? 32 : 64;
        if (rows <= 4) {
            for (int line = 0; line < 16 * pairBytes; line += 64) {
                code.prefetch(ELEMENTS.at(AHEAD + line));
            }
        }
        if (ahead) {
            code.load(BLOCK_AT, BLOCKS.at(0));
            code.add(BLOCKS, 8);
        }
        int scaleBytes = PANEL_ROW * (minima ? 2 : 1);
        for (int g = 0; g < 32 / group; g++) {
            tile.wordProducts(g * group / 2, group / 2, pairBytes, ahead);
            tile.scaleAndAdd(g * scaleBytes, minima);
        }
        code.add(ELEMENTS, 16 * pairBytes);
        code.add(SCALES, 32 / group * scaleBytes);
        tile.nextColumns(QuantisedRows.RECORD);
        code.loop(STEPS, start);
        if (ahead) {
            code.pop(BLOCK_AT);
        }
        code.end();
        return code.code();
    }

    private void wordProducts(int firstPair, int pairs, int pairBytes, boolean ahead) {
        for (int r = 0; r < 2 * rows; r++) {
            code.zero(r);
        }
        for (int p = firstPair; p < firstPair + pairs; p++) {
            Memory at = ELEMENTS.at(p * pairBytes);
            if (pairBytes == 32) {
                code.loadUnsignedBytesAsWords(W0, at);
                code.shiftWordsRight(W1, W0, 4);
                code.and(W0, W0, MASK);
            } else {
                code.loadBytesAsWords(W0, at);
                code.loadBytesAsWords(W1, at.plus(32));
            }
            if (ahead) {
                code.prefetchFar(BLOCK_AT.at(BLOCK / 16 * p));
            }
            for (int r = 0; r < rows; r++) {
                Memory x = row(r).plus(4 * p);
                code.addWordProducts(2 * r, W0, x);
                code.addWordProducts(2 * r + 1, W1, x);
            }
        }
    }

    private void scaleAndAdd(int scales, boolean minima) {
        code.load(SCALE_0, SCALES.at(scales));
        code.load(SCALE_1, SCALES.at(scales + VECTOR));
        if (minima) {
            code.load(MINIMUM_0, SCALES.at(scales + PANEL_ROW));
            code.load(MINIMUM_1, SCALES.at(scales + PANEL_ROW + VECTOR));
        }
        for (int r = 0; r < rows; r++) {
            for (int half = 0; half < 2; half++) {
                int sum = 2 * r + half;
                Memory to = SUMS.at(sum * VECTOR);
                code.intsToFloats(sum, sum);
                code.multiply(sum, sum, row(r).plus(QuantisedRows.SCALE));
                code.multiplyAdd(sum, half == 0 ? SCALE_0 : SCALE_1, to);
                if (minima) {
                    code.addProduct(sum, half == 0 ? MINIMUM_0 : MINIMUM_1, row(r).plus(QuantisedRows.SUM));
                }
                code.store(sum, to);
            }
        }
    }

    /** Elements of {@link #floats}. */
    enum Floats {
        F32,
        F16,
        BF16;

        /** Of one element. */
        int bytes() {
            return this == F32 ? 4 : 2;
        }
    }

    /**
     * {@code sums[r][j] += Σ_k w[k][j] · x[r][k]} in the order of k. Elements are [in][32], inputs f32; a step is {@link #FLOAT_STEP} columns.
     *
     * @param pairs elements are [in / 2][2][16] instead, a step as many pairs of columns; the first 16 sums are of even columns, the others of odd ones
     */
    static byte[] floats(int rows, Floats type, int columns, boolean pairs) {
        TileCode tile = new TileCode(rows);
        Assembler code = tile.code;
        tile.rowAddresses();
        for (int s = 0; s < 2 * rows; s++) {
            code.load(s, SUMS.at(s * VECTOR));
        }
        int start = code.here();
        int half = 16 * type.bytes();
        int xBytes = pairs ? 8 : 4;
        for (int k = 0; k < columns; k++) {
            if (rows <= 4 && k * 2 * half % 64 == 0) {
                code.prefetch(ELEMENTS.at(AHEAD + k * 2 * half));
                if (half == 64) {
                    code.prefetch(ELEMENTS.at(AHEAD + k * 2 * half + 64));
                }
            }
            tile.loadFloats(type, W0, ELEMENTS.at(k * 2 * half));
            tile.loadFloats(type, W1, ELEMENTS.at(k * 2 * half + half));
            for (int r = 0; r < rows; r++) {
                Memory x = tile.row(r).plus(xBytes * k);
                code.addProduct(2 * r, W0, x);
                code.addProduct(2 * r + 1, W1, pairs ? x.plus(4) : x);
            }
        }
        code.add(ELEMENTS, columns * 2 * half);
        tile.nextColumns(xBytes * columns);
        code.loop(STEPS, start);
        for (int s = 0; s < 2 * rows; s++) {
            code.store(s, SUMS.at(s * VECTOR));
        }
        code.end();
        return code.code();
    }

    /**
     * Adds {@link RowDelta}s to their rows, for some panels of outputs: the tile of one row, for many rows in one call. Arguments are the table, how many
     * entries it has, the first panel, and how many panels. An entry's panels follow each other, so that its B is read as one stream.
     */
    static byte[] rowDeltas(Floats type) {
        TileCode tile = new TileCode(1);
        Assembler code = tile.code;
        Register table = Register.RDI;
        Register entries = Register.RSI;
        Register firstPanel = Register.RDX;
        Register panels = Register.RCX;
        Register b = Register.R8;
        Register out = Register.R9;
        Register input = Register.R10;
        Register steps = Register.R11;
        Register left = Register.RAX;
        int half = 16 * type.bytes();

        int entry = code.here();
        code.load(b, table.at(RowDelta.PANEL_BYTES));
        code.multiply(b, firstPanel);
        code.add(b, table.at(RowDelta.B));
        code.multiply(out, firstPanel, PANEL_ROW);
        code.add(out, table.at(RowDelta.OUT));
        code.address(left, panels.at(0));
        int panel = code.here();
        code.load(0, out.at(0));
        code.load(1, out.at(VECTOR));
        code.load(input, table.at(RowDelta.INPUT));
        code.load(steps, table.at(RowDelta.STEPS));
        int columns = code.here();
        for (int k = 0; k < RowDelta.COLUMNS; k++) {
            tile.loadFloats(type, W0, b.at(k * 2 * half));
            tile.loadFloats(type, W1, b.at(k * 2 * half + half));
            code.addProduct(0, W0, input.at(4 * k));
            code.addProduct(1, W1, input.at(4 * k));
        }
        code.add(b, RowDelta.COLUMNS * 2 * half);
        code.add(input, 4 * RowDelta.COLUMNS);
        code.loop(steps, columns);
        code.store(0, out.at(0));
        code.store(1, out.at(VECTOR));
        code.add(out, PANEL_ROW);
        code.loop(left, panel);
        code.add(table, RowDelta.BYTES);
        code.loop(entries, entry);
        code.end();
        return code.code();
    }

    private void loadFloats(Floats type, int to, Memory from) {
        switch (type) {
            case F32 -> code.load(to, from);
            case F16 -> code.loadHalvesAsFloats(to, from);
            case BF16 -> {
                code.loadWordsAsInts(to, from);
                code.shiftIntsLeft(to, to, 16);
            }
        }
    }

    private void rowAddresses() {
        if (rows > 3) {
            code.address(STRIDE_3, STRIDE.at(STRIDE, 2, 0));
        }
        if (rows > 4) {
            code.address(X_4, X.at(STRIDE, 4, 0));
        }
        if (rows > 8) {
            code.address(X_8, X.at(STRIDE, 8, 0));
        }
    }

    private void nextColumns(int bytes) {
        code.add(X, bytes);
        if (rows > 4) {
            code.add(X_4, bytes);
        }
        if (rows > 8) {
            code.add(X_8, bytes);
        }
    }

    /** Where an input row of the tile is. */
    private Memory row(int r) {
        Register base = r < 4 ? X : r < 8 ? X_4 : X_8;
        return switch (r % 4) {
            case 0 -> base.at(0);
            case 1 -> base.at(STRIDE, 1, 0);
            case 2 -> base.at(STRIDE, 2, 0);
            default -> base.at(STRIDE_3, 1, 0);
        };
    }
}
