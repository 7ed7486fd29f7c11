package dev.polyphon.engine.backend.cuda;

import dev.polyphon.engine.backend.AddressRange;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.Floats;
import dev.polyphon.engine.weights.TensorView;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** A matrix in the device's memory as the file has it, row after row; only f64 is held as f32. */
final class CudaWeight implements Weight {
    private final AddressRange arena;
    private final DType type;
    private final int out;
    private final int in;
    private final long address;
    private boolean closed;

    CudaWeight(Device device, TensorView view, int[] rowOrder) {
        Weight.check(view, rowOrder);
        arena = device.arena();
        type = view.dtype() == DType.F64 ? DType.F32 : view.dtype();
        number();
        in = view.dim(1);
        out = rowOrder == null ? view.dim(0) : rowOrder.length;
        address = arena.take(bytes(), "weight " + view.name() + " " + view.describe());
        try (Arena passing = Arena.ofConfined()) {
            device.upload(ordered(view, rowOrder, passing), address);
        } catch (RuntimeException e) {
            arena.release(address);
            throw e;
        }
    }

    private MemorySegment ordered(TensorView view, int[] rowOrder, Arena passing) {
        MemorySegment data = view.data();
        if (view.dtype() == DType.F64) {
            float[] values = Floats.all(view);
            data = passing.allocate(4L * values.length, 4).copyFrom(MemorySegment.ofArray(values));
        }
        if (rowOrder == null) {
            return data;
        }
        MemorySegment ordered = passing.allocate(Math.max(1, bytes()), 64).asSlice(0, bytes());
        for (int i = 0; i < rowOrder.length; i++) {
            MemorySegment.copy(data, ValueLayout.JAVA_BYTE, rowOrder[i] * rowBytes(), ordered, ValueLayout.JAVA_BYTE, i * rowBytes(), rowBytes());
        }
        return ordered;
    }

    @Override
    public int out() {
        return out;
    }

    @Override
    public int in() {
        return in;
    }

    @Override
    public long bytes() {
        return out * rowBytes();
    }

    long rowBytes() {
        return type.bytes(in);
    }

    DType type() {
        return type;
    }

    /** The type as common.cuh counts. */
    int number() {
        return switch (type) {
            case F32 -> 0;
            case F16 -> 1;
            case BF16 -> 2;
            case Q8_0 -> 3;
            case Q4_0 -> 4;
            case Q4_1 -> 5;
            case Q4_K -> 6;
            case Q5_K -> 7;
            case Q6_K -> 8;
            default -> throw new IllegalArgumentException(type + " is no type of weights");
        };
    }

    long address() {
        if (closed) {
            throw new IllegalStateException("the weight is closed");
        }
        return address;
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            arena.release(address);
        }
    }
}
