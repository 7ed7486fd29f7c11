package dev.polyphon.engine;

import dev.polyphon.engine.backend.Kernels;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;

/** Kernels with a hook before each operation, which may throw instead. */
final class FaultyKernels {

    @FunctionalInterface
    interface Hook {
        /** @param arguments null for an operation without any */
        void before(String operation, Object[] arguments);
    }

    /** Hears of what was made, too. */
    @FunctionalInterface
    interface Made {
        void made(Object result);
    }

    private FaultyKernels() {}

    static Kernels of(Kernels kernels, Hook hook, Made made) {
        return (Kernels) Proxy.newProxyInstance(Kernels.class.getClassLoader(), new Class<?>[] {Kernels.class}, (proxy, method, arguments) -> {
            hook.before(method.getName(), arguments);
            try {
                Object result = method.invoke(kernels, arguments);
                made.made(result);
                return result;
            } catch (InvocationTargetException e) {
                throw e.getCause();
            }
        });
    }
}
