package dev.polyphon.engine.backend.cpu;

/** What machine code needs to know of a delta of one row, as entries of a table. */
final class RowDelta {
    /** Where the entry has the address of B's first panel. */
    static final int B = 0;
    /** Where it has the bytes from one panel to the next. */
    static final int PANEL_BYTES = 8;
    /** Where it has the address of the row's shrunk input. */
    static final int INPUT = 16;
    /** Where it has the address of the row's outputs. */
    static final int OUT = 24;
    /** Where it has the rank over {@link #COLUMNS}. */
    static final int STEPS = 32;
    /** Bytes of an entry. */
    static final int BYTES = 40;
    /** Columns of B in a step: ranks are multiples of it. */
    static final int COLUMNS = 8;

    private RowDelta() {}

    static void put(long entry, PlainPanels b, long input, long out) {
        Lanes.setLong(entry + B, b.at(0));
        Lanes.setLong(entry + PANEL_BYTES, b.panelBytes());
        Lanes.setLong(entry + INPUT, input);
        Lanes.setLong(entry + OUT, out);
        Lanes.setLong(entry + STEPS, b.in() / COLUMNS);
    }

    /** Whether it can be an entry: whole panels, multiplied by machine code. */
    static boolean fits(int rows, PlainPanels b) {
        return rows == 1 && b.code() != null && b.out() % Panels.WIDTH == 0 && b.in() % COLUMNS == 0;
    }
}
