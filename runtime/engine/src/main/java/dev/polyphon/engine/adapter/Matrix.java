package dev.polyphon.engine.adapter;

import java.util.Arrays;
import org.ejml.data.DMatrixRMaj;
import org.ejml.dense.row.CommonOps_DDRM;
import org.ejml.dense.row.SingularOps_DDRM;
import org.ejml.dense.row.factory.DecompositionFactory_DDRM;
import org.ejml.interfaces.decomposition.QRDecomposition;
import org.ejml.interfaces.decomposition.SingularValueDecomposition_F64;

/**
 * A row-major matrix on the host, for what is worked out once when an adapter is read. Results are new matrices; the decompositions compute in double.
 *
 * @param data {@code rows · columns} values, not copied
 */
public record Matrix(int rows, int columns, float[] data) {

    public Matrix {
        if (data.length != rows * columns) {
            throw new IllegalArgumentException(data.length + " values for a matrix of " + rows + " x " + columns);
        }
    }

    /** Values by row and column. */
    @FunctionalInterface
    public interface Entries {
        double at(int row, int column);
    }

    public static Matrix of(int rows, int columns, Entries entries) {
        float[] data = new float[rows * columns];
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < columns; c++) {
                data[r * columns + c] = (float) entries.at(r, c);
            }
        }
        return new Matrix(rows, columns, data);
    }

    public static Matrix identity(int size) {
        return of(size, size, (r, c) -> r == c ? 1 : 0);
    }

    public float at(int row, int column) {
        return data[row * columns + column];
    }

    public Matrix transposed() {
        return of(columns, rows, (r, c) -> at(c, r));
    }

    public Matrix times(Matrix other) {
        if (columns != other.rows) {
            throw new IllegalArgumentException("[" + rows + ", " + columns + "] times [" + other.rows + ", " + other.columns + "]");
        }
        float[] product = new float[rows * other.columns];
        double[] row = new double[other.columns];
        for (int r = 0; r < rows; r++) {
            Arrays.fill(row, 0);
            for (int k = 0; k < columns; k++) {
                double factor = at(r, k);
                if (factor != 0) {
                    for (int c = 0; c < other.columns; c++) {
                        row[c] += factor * other.data[k * other.columns + c];
                    }
                }
            }
            for (int c = 0; c < other.columns; c++) {
                product[r * other.columns + c] = (float) row[c];
            }
        }
        return new Matrix(rows, other.columns, product);
    }

    public Matrix times(double factor) {
        return of(rows, columns, (r, c) -> factor * at(r, c));
    }

    public Matrix plus(Matrix other) {
        return of(rows, columns, (r, c) -> (double) at(r, c) + other.at(r, c));
    }

    /** Rows in the order given; null keeps all. */
    public Matrix rows(int[] wanted) {
        if (wanted == null) {
            return this;
        }
        float[] selected = new float[wanted.length * columns];
        for (int i = 0; i < wanted.length; i++) {
            System.arraycopy(data, wanted[i] * columns, selected, i * columns, columns);
        }
        return new Matrix(wanted.length, columns, selected);
    }

    /** The upper left part. */
    Matrix corner(int wantedRows, int wantedColumns) {
        return of(wantedRows, wantedColumns, this::at);
    }

    /** This matrix above another one. */
    public Matrix above(Matrix other) {
        float[] both = Arrays.copyOf(data, data.length + other.data.length);
        System.arraycopy(other.data, 0, both, data.length, other.data.length);
        return new Matrix(rows + other.rows, columns, both);
    }

    /** This matrix to the left of another one. */
    public Matrix beside(Matrix other) {
        return of(rows, columns + other.columns, (r, c) -> c < columns ? at(r, c) : other.at(r, c - columns));
    }

    /** Kronecker product. */
    Matrix kronecker(Matrix other) {
        return of(rows * other.rows, columns * other.columns,
                (r, c) -> (double) at(r / other.rows, c / other.columns) * other.at(r % other.rows, c % other.columns));
    }

    /** {@code (I + S)⁻¹ (I − S)} for a skew-symmetric S: its Cayley transform, an orthogonal matrix. */
    Matrix cayley() {
        DMatrixRMaj plus = dense();
        DMatrixRMaj minus = dense();
        CommonOps_DDRM.changeSign(minus);
        for (int i = 0; i < rows; i++) {
            plus.add(i, i, 1);
            minus.add(i, i, 1);
        }
        DMatrixRMaj solution = new DMatrixRMaj(rows, rows);
        if (!CommonOps_DDRM.solve(plus, minus, solution)) {
            throw new ArithmeticException("I + S is singular");
        }
        return of(solution);
    }

    /** The two factors of a truncated decomposition: {@code left} [rows, rank] times {@code right} [rank, columns]. */
    public record Factors(Matrix left, Matrix right) {}

    /** The best approximation of a rank: singular vectors, the values worked into the left ones. */
    public Factors truncatedSvd(int rank) {
        return singular(rank, 1);
    }

    /**
     * The best approximation of a rank or, where fewer directions suffice, of so much of the squared norm.
     *
     * @param energy share of the sum of squared singular values that is enough; 1 for all
     */
    public Factors singular(int rank, double energy) {
        SingularValueDecomposition_F64<DMatrixRMaj> svd = DecompositionFactory_DDRM.svd(rows, columns, true, true, true);
        if (!svd.decompose(dense())) {
            throw new ArithmeticException("no singular value decomposition");
        }
        DMatrixRMaj u = svd.getU(null, false);
        DMatrixRMaj s = svd.getW(null);
        DMatrixRMaj v = svd.getV(null, false);
        SingularOps_DDRM.descendingOrder(u, false, s, v, false);
        int most = Math.min(rank, Math.min(rows, columns));
        double total = 0;
        for (int i = 0; i < Math.min(rows, columns); i++) {
            total += s.get(i, i) * s.get(i, i);
        }
        int kept = 0;
        for (double sum = 0; kept < most && (kept == 0 || energy >= 1 || sum < energy * total); kept++) {
            sum += s.get(kept, kept) * s.get(kept, kept);
        }
        return new Factors(of(rows, kept, (r, c) -> u.get(r, c) * s.get(c, c)), of(kept, columns, (r, c) -> v.get(c, r)));
    }

    /** The square root of the sum of squares. */
    public double norm() {
        double sum = 0;
        for (float value : data) {
            sum += (double) value * value;
        }
        return Math.sqrt(sum);
    }

    /** The leading columns of Q and rows of R in the QR decomposition. */
    public Factors leadingQr(int rank) {
        QRDecomposition<DMatrixRMaj> qr = DecompositionFactory_DDRM.qr(rows, columns);
        if (!qr.decompose(dense())) {
            throw new ArithmeticException("no QR decomposition");
        }
        DMatrixRMaj q = qr.getQ(null, true);
        DMatrixRMaj r = qr.getR(null, true);
        return new Factors(of(rows, rank, q::get), of(rank, columns, r::get));
    }

    private DMatrixRMaj dense() {
        DMatrixRMaj dense = new DMatrixRMaj(rows, columns);
        for (int i = 0; i < data.length; i++) {
            dense.data[i] = data[i];
        }
        return dense;
    }

    private static Matrix of(DMatrixRMaj dense) {
        return of(dense.numRows, dense.numCols, dense::get);
    }
}
