package dev.polyphon.measure.step;

import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.Projection;
import dev.polyphon.engine.model.ArchitectureSpec;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Stands before kernels and adds up the time of every operation. For one thread, as steps are. */
final class KernelClock {
    private final Map<String, Long> nanos = new TreeMap<>();
    private final ArchitectureSpec spec;

    KernelClock(ArchitectureSpec spec) {
        this.spec = spec;
    }

    Kernels before(Kernels kernels) {
        return (Kernels) Proxy.newProxyInstance(Kernels.class.getClassLoader(), new Class<?>[] {Kernels.class}, (_, method, arguments) -> {
            long start = System.nanoTime();
            try {
                return method.invoke(kernels, arguments);
            } catch (InvocationTargetException e) {
                throw e.getCause();
            } finally {
                add(method.getName().equals("linear") ? linear((List<?>) arguments[3]) : method.getName(), System.nanoTime() - start);
            }
        });
    }

    /** Which of a layer's groups of linear layers it is, by what they look like. */
    private String linear(List<?> projections) {
        Projection first = (Projection) projections.getFirst();
        return "linear " + switch (projections.size()) {
            case 3 -> "q, k, v";
            case 2 -> "gate, up";
            default -> first.weight().out() == spec.vocabulary() ? "head" : first.weight().in() == spec.intermediate() ? "down" : first.weight().in() == spec.queryWidth()
                    && first.weight().out() == spec.hidden() ? "o" : "up";
        };
    }

    void add(String operation, long time) {
        nanos.merge(operation, time, Long::sum);
    }

    void reset() {
        nanos.clear();
    }

    Map<String, Long> nanos() {
        return nanos;
    }
}
