package dev.polyphon.measure.kernels;

import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** What a benchmark has done; JMH reports it per second. */
@State(Scope.Thread)
@AuxCounters(AuxCounters.Type.OPERATIONS)
public class Work {
    /** Bytes that have to come from memory, in units of 10⁹. */
    public double gigabytes;
    /** Multiply-adds, in units of 10⁹. */
    public double gigamacs;

    /** Starts anew. */
    @Setup(Level.Iteration)
    public void reset() {
        gigabytes = 0;
        gigamacs = 0;
    }

    void did(double bytes, double macs) {
        gigabytes += bytes * 1e-9;
        gigamacs += macs * 1e-9;
    }
}
