package dev.polyphon.engine.backend.cuda;

import dev.polyphon.engine.backend.Batch;
import java.util.function.IntUnaryOperator;

/**
 * What attention needs to know of a batch.
 *
 * @param rows of each row its position, and where in {@code blocks} its sequence's table starts
 * @param blocks the block tables of all sequences one after the other, each as far as its last row sees, blocks by their {@link CudaKvCache#place}
 */
record AttentionTables(int[] rows, int[] blocks) {

    static AttentionTables of(Batch batch, int blockSize, IntUnaryOperator place) {
        int total = 0;
        for (int s = 0; s < batch.sequences(); s++) {
            total += length(batch, s, blockSize);
        }
        int[] rows = new int[2 * batch.rows()];
        int[] blocks = new int[total];
        int at = 0;
        for (int s = 0; s < batch.sequences(); s++) {
            for (int r = batch.firstRow()[s]; r < batch.firstRow()[s + 1]; r++) {
                rows[2 * r] = batch.positions()[r];
                rows[2 * r + 1] = at;
            }
            int length = length(batch, s, blockSize);
            for (int i = 0; i < length; i++) {
                blocks[at++] = place.applyAsInt(batch.blocks()[s][i]);
            }
        }
        return new AttentionTables(rows, blocks);
    }

    private static int length(Batch batch, int sequence, int blockSize) {
        int end = batch.firstRow()[sequence + 1];
        return end == batch.firstRow()[sequence] ? 0 : batch.positions()[end - 1] / blockSize + 1;
    }
}
