package dev.polyphon.engine.backend.cpu;

import dev.polyphon.engine.backend.cpu.Assembler.Memory;
import dev.polyphon.engine.backend.cpu.Assembler.Register;
import dev.polyphon.engine.backend.cpu.TileCode.Vectors;

/**
 * Machine code for the softmax of a row: the same operations in the same order, and so the same bits, as those of {@link VectorMath#exp} and
 * {@link Lanes}. In a loop as large as this, Java's compiler makes an object of every vector.
 */
final class SoftmaxCode {
    private static final Register VALUES = Register.RDI;
    private static final Register COUNT = Register.RSI;
    private static final Register CONSTANTS = Register.RDX;
    private static final Register FACTOR = Register.RCX;
    private static final Register AT = Register.R8;
    private static final Register LEFT = Register.R9;

    /** What is added to the polynomial's products, from the second on; read where it is needed, as 256 bits have too few registers. */
    private static final int COEFFICIENTS = 8;
    private static final float[] TABLE = {
        VectorMath.LOG2_E, VectorMath.ROUND, -VectorMath.LN2_HIGH, -VectorMath.LN2_LOW, 1, VectorMath.LEAST, VectorMath.MOST, VectorMath.EXP[0],
        VectorMath.EXP[1], VectorMath.EXP[2], VectorMath.EXP[3], VectorMath.EXP[4], VectorMath.EXP[5]
    };

    // Vector registers.
    private static final int LOG2_E = 0;
    private static final int ROUND = 1;
    private static final int LN2_HIGH = 2;
    private static final int LN2_LOW = 3;
    private static final int ONE = 4;
    private static final int LEAST = 5;
    private static final int MOST = 6;
    private static final int FIRST = 7;
    private static final int GREATEST = 8;
    private static final int SUM = 9;
    private static final int X = 10;
    private static final int SHIFTED = 11;
    private static final int N = 12;
    private static final int P = 13;
    private static final int SCALE = 14;

    private final Vectors vectors;
    private final Assembler code;
    private final int vector;

    private SoftmaxCode(Vectors vectors) {
        this.vectors = vectors;
        code = new Assembler(vectors.wide());
        vector = 4 * vectors.lanes();
    }

    /** What the code reads: each constant in all lanes of a vector. */
    static NativeMemory constants(Vectors vectors) {
        NativeMemory memory = new NativeMemory(4L * TABLE.length * vectors.lanes());
        for (int i = 0; i < TABLE.length * vectors.lanes(); i++) {
            Lanes.set(memory.address() + 4L * i, TABLE[i / vectors.lanes()]);
        }
        return memory;
    }

    /**
     * {@code v = exp(s v - max(s v)) / sum}. Arguments are the values, how many vectors of them there are, the {@link #constants}, and the bits of s. Minus infinity becomes
     * e^-87 by the sum, for which that is nothing.
     */
    static byte[] write(Vectors vectors) {
        return new SoftmaxCode(vectors).write();
    }

    private byte[] write() {
        code.push(FACTOR);
        code.broadcast(SCALE, Register.RSP.at(0));
        code.pop(FACTOR);
        code.load(GREATEST, VALUES.at(0));
        code.multiply(GREATEST, GREATEST, SCALE);
        int next = begin();
        code.load(X, AT.at(0));
        code.multiply(X, X, SCALE);
        code.store(X, AT.at(0));
        code.max(GREATEST, GREATEST, X);
        end(next);
        acrossLanes(() -> code.max(GREATEST, GREATEST, X), GREATEST);

        for (int i = LOG2_E; i <= FIRST; i++) {
            code.load(i, constant(i));
        }
        code.zero(SUM);
        next = begin();
        code.load(X, AT.at(0));
        code.subtract(X, X, GREATEST);
        exp();
        code.store(P, AT.at(0));
        code.add(SUM, SUM, P);
        end(next);
        acrossLanes(() -> code.add(SUM, SUM, X), SUM);

        code.divide(SUM, ONE, SUM);
        next = begin();
        code.load(X, AT.at(0));
        code.multiply(X, X, SUM);
        code.store(X, AT.at(0));
        end(next);
        code.end();
        return code.code();
    }

    private int begin() {
        code.address(AT, VALUES.at(0));
        code.address(LEFT, COUNT.at(0));
        return code.here();
    }

    private void end(int start) {
        code.add(AT, vector);
        code.loop(LEFT, start);
    }

    private Memory constant(int i) {
        return CONSTANTS.at(i * vector);
    }

    /** P = e^X; see {@link VectorMath#exp}. Of the two that are compared the second wins where there is none, so that it stays none. */
    private void exp() {
        code.max(X, LEAST, X);
        code.min(X, MOST, X);
        code.move(SHIFTED, ROUND);
        code.addProduct(SHIFTED, X, LOG2_E);
        code.subtract(N, SHIFTED, ROUND);
        code.addProduct(X, N, LN2_HIGH);
        code.addProduct(X, N, LN2_LOW);
        code.move(P, FIRST);
        for (int i = COEFFICIENTS; i < TABLE.length; i++) {
            code.multiplyAdd(P, X, constant(i));
        }
        code.multiply(N, X, X);
        code.addProduct(X, P, N);
        code.add(P, X, ONE);
        code.shiftIntsLeft(SHIFTED, SHIFTED, 23);
        code.addInts(P, P, SHIFTED);
    }

    /** Has {@code combine} put the lanes of a register together with those of X, which are its own in another order, until all are alike. */
    private void acrossLanes(Runnable combine, int register) {
        for (int distance = vectors.lanes() / 2; distance > 0; distance /= 2) {
            code.exchange(X, register, distance);
            combine.run();
        }
    }
}
