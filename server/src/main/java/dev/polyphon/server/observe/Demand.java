package dev.polyphon.server.observe;

import dev.polyphon.server.openai.ApiObserver;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;

/** Requests under way, by whether they wait or run, for each adapter and each tenant. May be used from any thread. */
final class Demand implements ApiObserver {
    /** Requests that wait for the batch, and that are in it. */
    record Load(int waiting, int running) {
        static final Load NONE = new Load(0, 0);

        Load plus(Load other) {
            return new Load(waiting + other.waiting, running + other.running);
        }
    }

    private static final Load ARRIVED = new Load(1, 0);
    private static final Load STARTED = new Load(-1, 1);
    private static final Load LEFT = new Load(-1, 0);
    private static final Load DONE = new Load(0, -1);

    private final Map<String, Load> adapters = new HashMap<>();
    private final Map<String, Load> tenants = new HashMap<>();
    private volatile long changed = System.currentTimeMillis();

    @Override
    public void accepted(Subject subject) {
        add(subject, ARRIVED);
    }

    @Override
    public void started(Subject subject) {
        add(subject, STARTED);
    }

    @Override
    public void ended(Ended ended) {
        if (ended.times().accepted() != 0) {
            add(ended.subject(), ended.times().started() == 0 ? LEFT : DONE);
        }
    }

    private synchronized void add(Subject subject, Load load) {
        add(tenants, subject.tenant(), load);
        if (!subject.adapter().isEmpty()) {
            add(adapters, subject.adapter(), load);
        }
        changed = System.currentTimeMillis();
    }

    private static void add(Map<String, Load> loads, String name, Load load) {
        loads.merge(name, load, (before, more) -> {
            Load sum = before.plus(more);
            return sum.equals(Load.NONE) ? null : sum;
        });
    }

    /** Adapters with requests under way, in the order of their names. */
    synchronized Map<String, Load> adapters() {
        return new TreeMap<>(adapters);
    }

    /** Tenants with requests under way, in the order of their names. */
    synchronized Map<String, Load> tenants() {
        return new TreeMap<>(tenants);
    }

    /** When that last changed, in milliseconds since 1970. */
    long changed() {
        return changed;
    }
}
