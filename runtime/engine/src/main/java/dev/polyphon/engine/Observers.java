package dev.polyphon.engine;

import dev.polyphon.runtime.RuntimeObserver;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Passes on to all observers. */
final class Observers implements RuntimeObserver {
    private static final Logger LOG = LoggerFactory.getLogger(Observers.class);

    private final List<RuntimeObserver> observers = new CopyOnWriteArrayList<>();

    void add(RuntimeObserver observer) {
        observers.add(observer);
    }

    /** What one observer throws is nobody else's concern. */
    private void tell(Consumer<RuntimeObserver> event) {
        for (RuntimeObserver observer : observers) {
            try {
                event.accept(observer);
            } catch (RuntimeException e) {
                LOG.error("an observer failed", e);
            }
        }
    }

    @Override
    public void step(Step step) {
        tell(o -> o.step(step));
    }

    @Override
    public void stepFailed() {
        tell(RuntimeObserver::stepFailed);
    }

    @Override
    public void sequenceFailed(String tenant) {
        tell(o -> o.sequenceFailed(tenant));
    }

    @Override
    public void adapterLoad(String adapter, Duration time, boolean success) {
        tell(o -> o.adapterLoad(adapter, time, success));
    }

    @Override
    public void adapterDamaged(String adapter) {
        tell(o -> o.adapterDamaged(adapter));
    }

    @Override
    public void admitted(String tenant, Duration queued) {
        tell(o -> o.admitted(tenant, queued));
    }

    @Override
    public void preempted(String tenant) {
        tell(o -> o.preempted(tenant));
    }

    @Override
    public void expired(String tenant) {
        tell(o -> o.expired(tenant));
    }
}
