package dev.polyphon.engine;

import dev.polyphon.runtime.RuntimeObserver;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** Passes on to all observers. */
final class Observers implements RuntimeObserver {
    private final List<RuntimeObserver> observers = new CopyOnWriteArrayList<>();

    void add(RuntimeObserver observer) {
        observers.add(observer);
    }

    @Override
    public void step(Step step) {
        observers.forEach(o -> o.step(step));
    }

    @Override
    public void adapterLoad(String adapter, Duration time, boolean success) {
        observers.forEach(o -> o.adapterLoad(adapter, time, success));
    }

    @Override
    public void admitted(String tenant, Duration queued) {
        observers.forEach(o -> o.admitted(tenant, queued));
    }

    @Override
    public void preempted(String tenant) {
        observers.forEach(o -> o.preempted(tenant));
    }

    @Override
    public void expired(String tenant) {
        observers.forEach(o -> o.expired(tenant));
    }
}
