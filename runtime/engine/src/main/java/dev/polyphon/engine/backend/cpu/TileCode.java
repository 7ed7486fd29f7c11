package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.cpu.Assembler.Memory;
import dev.polyphon.engine.backend.cpu.Assembler.Register;

/**
 * Machine code for register tiles: the sums of a few input rows with one panel of outputs, two vectors L of floats, are kept in registers while k runs,
 * outputs along the lanes and inputs broadcast. All have the same first six arguments: the panel's elements, its scales, the first input row, the bytes from one
 * input row to the next, or of words from one step's records to the next, the first row of sums (2 L floats; rows next to each other), and how many steps of columns.
 */
final class TileCode {

    /**
     * What the code is written for.
     *
     * @param wide 512 bits and 32 registers (AVX-512F and BW), not 256 and 16 (AVX2, FMA and F16C)
     * @param neural whether products of words are added in the same instruction (AVX-512 VNNI, AVX-VNNI)
     */
    record Vectors(boolean wide, boolean neural) {
        /** Floats in a register, L. */
        int lanes() {
            return wide ? 16 : 8;
        }

        /** Input rows of the largest tile of words: two vectors of sums each, and the registers to make them. */
        int mostWordRows() {
            return wide ? 8 : 6;
        }

        /** Input rows of the largest tile of floats. */
        int mostFloatRows() {
            return wide ? 12 : 6;
        }
    }

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
    // Of words: the records and sums of a tile, how many tiles are left, where addresses come from, and the last one.
    private static final Register TILE_X = Register.R11;
    private static final Register TILE_SUMS = Register.RAX;
    private static final Register TILES = Register.RBX;
    private static final Register BLOCKS = Register.RBP;
    private static final Register BLOCK_AT = Register.R10;

    /** How far ahead the elements are asked for, in bytes; about what arrives while a cache line takes to come. */
    private static final int AHEAD = 4096;

    private final Vectors vectors;
    private final Assembler code;
    private final int rows;
    /** Bytes of a vector, and of a row of the panel's sums. */
    private final int vector;
    private final int panelRow;

    // Vector registers 0 and up hold sums; these are the last ones. There is a mask with 32 registers only.
    private final int w0;
    private final int w1;
    private final int input;
    private final int product;
    private final int mask;

    private TileCode(Vectors vectors, int rows) {
        this.vectors = vectors;
        this.rows = rows;
        code = new Assembler(vectors.wide());
        vector = 4 * vectors.lanes();
        panelRow = 2 * vector;
        int last = vectors.wide() ? 31 : 15;
        w0 = last;
        w1 = last - 1;
        input = last - 2;
        product = last - 3;
        mask = last - 4;
    }

    /**
     * {@code sums[r][j] += Σ_g dx[r][g] · d[g][j] · Σ_k q[k][j] · x[r][k]  (+ m[g][j] · t[r][g])}: integers within a group, then floats in the order
     * of groups. A step is a record of {@link QuantisedRows}; the seventh argument is how many tiles of {@code rows} rows there are. They take turns within
     * each step, so that a panel is read once, and evenly, for all.
     *
     * @param group columns that share a scale, 32 or 16
     * @param nibbles whether elements are [in / 2][2 L] nibbles instead of [in / 2][2 L][2] bytes
     * @param minima whether every scale is followed by a minimum
     * @param ahead whether, with each step of each tile, a block of {@link #BLOCK} bytes of anything is brought nearer; an eighth argument has their addresses
     */
    static byte[] words(Vectors vectors, int rows, int group, boolean nibbles, boolean minima, boolean ahead) {
        TileCode tile = new TileCode(vectors, rows);
        Assembler code = tile.code;
        code.push(TILES);
        if (ahead) {
            code.push(BLOCKS);
            code.load(BLOCKS, Register.RSP.at(32));
        }
        Memory tiles = Register.RSP.at(ahead ? 24 : 16);
        if (nibbles && vectors.wide()) {
            code.ones(tile.mask);
            code.shiftWordsRight(tile.mask, tile.mask, 12);
        }
        int scaleBytes = tile.panelRow * (minima ? 2 : 1);
        int step = code.here();
        int pairBytes = nibbles ? tile.vector / 2 : tile.vector;
        for (int line = 0; line < 16 * pairBytes; line += 64) {
            code.prefetch(ELEMENTS.at(AHEAD + line));
        }
        code.load(TILES, tiles);
        code.address(TILE_X, X.at(0));
        code.address(TILE_SUMS, SUMS.at(0));
        int start = code.here();
        if (ahead) {
            code.load(BLOCK_AT, BLOCKS.at(0));
            code.add(BLOCKS, 8);
        }
        for (int g = 0; g < 32 / group; g++) {
            tile.wordProducts(g * group / 2, group / 2, nibbles, ahead);
            tile.scaleAndAdd(g * scaleBytes, minima);
        }
        code.add(TILE_X, rows * QuantisedRows.RECORD);
        code.add(TILE_SUMS, rows * tile.panelRow);
        code.loop(TILES, start);
        code.add(ELEMENTS, 16 * pairBytes);
        code.add(SCALES, 32 / group * scaleBytes);
        code.address(X, X.at(STRIDE, 1, 0));
        code.loop(STEPS, step);
        if (ahead) {
            code.pop(BLOCKS);
        }
        code.pop(TILES);
        code.end();
        return code.code();
    }

    /** A row's record of the tile. */
    private static Memory record(int r) {
        return TILE_X.at(r * QuantisedRows.RECORD);
    }

    private void wordProducts(int firstPair, int pairs, boolean nibbles, boolean ahead) {
        for (int r = 0; r < 2 * rows; r++) {
            code.zero(r);
        }
        for (int p = firstPair; p < firstPair + pairs; p++) {
            if (nibbles) {
                loadNibbles(ELEMENTS.at(p * vector / 2));
            } else {
                code.loadBytesAsWords(w0, ELEMENTS.at(p * vector));
                code.loadBytesAsWords(w1, ELEMENTS.at(p * vector + vector / 2));
            }
            if (ahead) {
                code.prefetchFar(BLOCK_AT.at(BLOCK / 16 * p));
            }
            for (int r = 0; r < rows; r++) {
                addWordProducts(r, record(r).plus(4 * p));
            }
        }
    }

    /** The lower nibbles of some bytes as words, and the upper ones. */
    private void loadNibbles(Memory from) {
        code.loadUnsignedBytesAsWords(w0, from);
        code.shiftWordsRight(w1, w0, 4);
        if (vectors.wide()) {
            code.and(w0, w0, mask);
        } else {
            // There is no register left for a mask.
            code.shiftWordsLeft(w0, w0, 12);
            code.shiftWordsRight(w0, w0, 12);
        }
    }

    private void addWordProducts(int r, Memory x) {
        code.broadcast(input, x);
        if (vectors.neural()) {
            code.addWordProducts(2 * r, w0, input);
            code.addWordProducts(2 * r + 1, w1, input);
        } else {
            code.wordProducts(product, w0, input);
            code.addInts(2 * r, 2 * r, product);
            code.wordProducts(product, w1, input);
            code.addInts(2 * r + 1, 2 * r + 1, product);
        }
    }

    private void scaleAndAdd(int scales, boolean minima) {
        code.load(w0, SCALES.at(scales));
        code.load(w1, SCALES.at(scales + vector));
        Memory minimum = SCALES.at(scales + panelRow);
        for (int r = 0; r < rows; r++) {
            Memory to = TILE_SUMS.at(r * panelRow);
            code.intsToFloats(2 * r, 2 * r);
            code.intsToFloats(2 * r + 1, 2 * r + 1);
            code.broadcast(input, record(r).plus(QuantisedRows.SCALE));
            code.multiply(2 * r, 2 * r, input);
            code.multiply(2 * r + 1, 2 * r + 1, input);
            code.multiplyAdd(2 * r, w0, to);
            code.multiplyAdd(2 * r + 1, w1, to.plus(vector));
            if (minima) {
                code.broadcast(input, record(r).plus(QuantisedRows.SUM));
                code.addProducts(2 * r, input, minimum);
                code.addProducts(2 * r + 1, input, minimum.plus(vector));
            }
            code.store(2 * r, to);
            code.store(2 * r + 1, to.plus(vector));
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
     * {@code sums[r][j] += Σ_k w[k][j] · x[r][k]} in the order of k. Elements are [in][2 L], inputs f32; a step is {@link #FLOAT_STEP} columns.
     *
     * @param pairs elements are [in / 2][2][L] instead, a step as many pairs of columns; the first L sums are of even columns, the others of odd ones
     */
    static byte[] floats(Vectors vectors, int rows, Floats type, int columns, boolean pairs) {
        TileCode tile = new TileCode(vectors, rows);
        Assembler code = tile.code;
        tile.rowAddresses();
        for (int s = 0; s < 2 * rows; s++) {
            code.load(s, SUMS.at(s * tile.vector));
        }
        int start = code.here();
        int half = vectors.lanes() * type.bytes();
        int xBytes = pairs ? 8 : 4;
        for (int k = 0; k < columns; k++) {
            if (rows <= 4 && k * 2 * half % 64 == 0) {
                code.prefetch(ELEMENTS.at(AHEAD + k * 2 * half));
                if (half == 64) {
                    code.prefetch(ELEMENTS.at(AHEAD + k * 2 * half + 64));
                }
            }
            tile.loadFloats(type, tile.w0, ELEMENTS.at(k * 2 * half));
            tile.loadFloats(type, tile.w1, ELEMENTS.at(k * 2 * half + half));
            for (int r = 0; r < rows; r++) {
                Memory x = tile.row(r).plus(xBytes * k);
                tile.addProducts(r, x, pairs ? x.plus(4) : x);
            }
        }
        code.add(ELEMENTS, columns * 2 * half);
        tile.nextColumns(xBytes * columns);
        code.loop(STEPS, start);
        for (int s = 0; s < 2 * rows; s++) {
            code.store(s, SUMS.at(s * tile.vector));
        }
        code.end();
        return code.code();
    }

    /**
     * Adds {@link RowDelta}s to their rows, for some panels of outputs: the tile of one row, for many rows in one call. Arguments are the table, how many
     * entries it has, the first panel, and how many panels. An entry's panels follow each other, so that its B is read as one stream.
     */
    static byte[] rowDeltas(Vectors vectors, Floats type) {
        TileCode tile = new TileCode(vectors, 1);
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
        int half = vectors.lanes() * type.bytes();

        int entry = code.here();
        code.load(b, table.at(RowDelta.PANEL_BYTES));
        code.multiply(b, firstPanel);
        code.add(b, table.at(RowDelta.B));
        code.multiply(out, firstPanel, tile.panelRow);
        code.add(out, table.at(RowDelta.OUT));
        code.address(left, panels.at(0));
        int panel = code.here();
        code.load(0, out.at(0));
        code.load(1, out.at(tile.vector));
        code.load(input, table.at(RowDelta.INPUT));
        code.load(steps, table.at(RowDelta.STEPS));
        int columns = code.here();
        for (int k = 0; k < RowDelta.COLUMNS; k++) {
            tile.loadFloats(type, tile.w0, b.at(k * 2 * half));
            tile.loadFloats(type, tile.w1, b.at(k * 2 * half + half));
            tile.addProducts(0, input.at(4 * k), input.at(4 * k));
        }
        code.add(b, RowDelta.COLUMNS * 2 * half);
        code.add(input, 4 * RowDelta.COLUMNS);
        code.loop(steps, columns);
        code.store(0, out.at(0));
        code.store(1, out.at(tile.vector));
        code.add(out, tile.panelRow);
        code.loop(left, panel);
        code.add(table, RowDelta.BYTES);
        code.loop(entries, entry);
        code.end();
        return code.code();
    }

    /** Adds the panel's two vectors of elements, times the floats at these places, to a row's sums. */
    private void addProducts(int r, Memory x0, Memory x1) {
        code.broadcast(input, x0);
        code.addProduct(2 * r, w0, input);
        if (!x1.equals(x0)) {
            code.broadcast(input, x1);
        }
        code.addProduct(2 * r + 1, w1, input);
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
