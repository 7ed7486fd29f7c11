package dev.polyphon.engine.schedule;

import dev.polyphon.engine.backend.Batch;
import dev.polyphon.engine.model.AdapterPlan.Segment;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.AdapterWeights.Span;
import java.util.ArrayList;
import java.util.List;

/**
 * A step's work as rows: the batch, and which of its rows use which adapter.
 *
 * @param segments sequences of the same adapter that stand side by side are one segment
 */
public record StepRows(Batch batch, List<Segment> segments) {

    public static StepRows of(List<Work> plan) {
        int rows = 0;
        for (Work work : plan) {
            rows += work.rows();
        }
        int[] tokens = new int[rows];
        int[] positions = new int[rows];
        int[] firstRow = new int[plan.size() + 1];
        int[][] tables = new int[plan.size()][];
        List<Segment> segments = new ArrayList<>();
        int row = 0;
        for (int i = 0; i < plan.size(); i++) {
            Work work = plan.get(i);
            Sequence sequence = work.sequence();
            firstRow[i] = row;
            tables[i] = sequence.blocks();
            int end = work.from() + work.rows();
            for (Span span : sequence.spans()) {
                int from = Math.max(span.from(), work.from());
                int to = Math.min(span.to(), end);
                if (from < to) {
                    append(segments, span.adapter(), row + from - work.from(), to - from);
                }
            }
            for (int p = work.from(); p < end; p++) {
                tokens[row] = sequence.token(p);
                positions[row++] = p;
            }
        }
        firstRow[plan.size()] = row;
        return new StepRows(new Batch(tokens, positions, firstRow, tables), segments);
    }

    private static void append(List<Segment> segments, AdapterWeights adapter, int firstRow, int rows) {
        Segment last = segments.isEmpty() ? null : segments.getLast();
        if (last != null && last.adapter() == adapter && last.firstRow() + last.rows() == firstRow) {
            segments.set(segments.size() - 1, new Segment(adapter, last.firstRow(), last.rows() + rows));
        } else {
            segments.add(new Segment(adapter, firstRow, rows));
        }
    }
}
