package dev.polyphon.engine.schedule;

import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.runtime.SchedulerState.Counter;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Predicate;

/**
 * The sequences that wait, and whose turn it is: fair queueing by virtual token counters (VTC, Sheng et al. 2024, weighted). Each client has a counter of the
 * service it had, divided by its share; the client with the least goes first. One that comes back from having nothing to ask for is lifted to the least
 * counter of those who wait, or, when nobody does, to that of the client that waited last: nobody saves up, and nobody has to make up for time alone.
 *
 * <p>Service is what is computed: tokens of prompts as they are, outputs at a price of their own. What is computed again after preemption was paid for.
 */
final class FairQueue {
    private static final int FIRST_SWEEP = 64;

    /** So many of a client's are looked at for one to go before the first. */
    private static final int MOST_LOOKED_AT = 64;

    private final double outputPrice;
    private final long clusterTime;
    private final Predicate<AdapterWeights> running;
    private final Map<String, Integer> byTenant = new ConcurrentHashMap<>();
    private final Map<String, Client> clients = new HashMap<>();
    /** Those with something that waits. */
    private final Set<Client> waiting = new LinkedHashSet<>();
    private Client lastToWait;
    private int sweepAt = FIRST_SWEEP;
    private int size;
    private long arrivals;

    /**
     * @param outputPrice what a token of output counts, one of a prompt being 1
     * @param clusterTime a sequence is passed by those of its client that are due so much later, if their adapter runs already
     * @param running tells that
     */
    FairQueue(double outputPrice, long clusterTime, Predicate<AdapterWeights> running) {
        this.outputPrice = outputPrice;
        this.clusterTime = clusterTime;
        this.running = running;
    }

    /** Takes a sequence that is new. */
    void add(Sequence sequence) {
        Standing standing = sequence.standing();
        Client client = clients.get(standing.client());
        if (client == null) {
            sweep();
            client = new Client();
            clients.put(standing.client(), client);
        }
        client.share = standing.share();
        sequence.arrives(client, arrivals++);
        wait(sequence);
    }

    /** Takes a sequence back that had been taken out. */
    void wait(Sequence sequence) {
        Client client = sequence.client();
        if (client.waiting.isEmpty()) {
            client.liftTo(level());
            waiting.add(client);
        }
        if (client.waiting.add(sequence)) {
            size++;
            byTenant.merge(sequence.standing().tenant(), 1, Integer::sum);
        }
    }

    /** Takes a sequence out; false when it does not wait. */
    boolean remove(Sequence sequence) {
        Client client = sequence.client();
        if (client == null || !client.waiting.remove(sequence)) {
            return false;
        }
        size--;
        byTenant.computeIfPresent(sequence.standing().tenant(), (tenant, count) -> count == 1 ? null : Integer.valueOf(count - 1));
        if (client.waiting.isEmpty()) {
            waiting.remove(client);
            lastToWait = client;
        }
        return true;
    }

    /**
     * The sequence whose turn it is, or null. Of the client whose turn it is, one goes first whose adapter runs already, so that a step has fewer: whoever it
     * passes has been due for a short time at most, and counts what it gets to the same client.
     */
    Sequence first() {
        Client first = least();
        if (first == null) {
            return null;
        }
        Sequence due = first.waiting.first();
        int looked = 0;
        for (Sequence one : first.waiting) {
            if (one.standing().turn() - due.standing().turn() > clusterTime || looked++ == MOST_LOOKED_AT) {
                break;
            }
            if (one.adapter() == null || running.test(one.adapter())) {
                return one;
            }
        }
        return due;
    }

    private Client least() {
        Client least = null;
        for (Client client : waiting) {
            if (least == null || precedes(client, least)) {
                least = client;
            }
        }
        return least;
    }

    /** Of equal counters, whoever waits longer. */
    private static boolean precedes(Client a, Client b) {
        return a.served() < b.served() || a.served() == b.served() && a.waiting.first().arrival() < b.waiting.first().arrival();
    }

    /** To what a client's counter is lifted that begins to wait; it never falls. */
    private double level() {
        Client least = waiting.isEmpty() ? lastToWait : least();
        return least == null ? 0 : least.served();
    }

    /** Counts the prompt's tokens up to a position, those not counted before. */
    void chargePrompt(Sequence sequence, int upTo) {
        sequence.client().charge(sequence.countPrompt(upTo));
    }

    /** Counts a token of output. */
    void chargeOutput(Sequence sequence) {
        sequence.client().charge(outputPrice);
    }

    int size() {
        return size;
    }

    /** How many wait by tenant, for any thread to look at. */
    Map<String, Integer> byTenant() {
        return byTenant;
    }

    /** What each has had, and has. Keys are as {@link Fairness} makes them: a tenant and, each behind a line feed, its adapters' names. */
    List<Counter> counters() {
        List<Counter> counters = new ArrayList<>(clients.size());
        clients.forEach((key, client) -> {
            String[] names = key.split("\n", -1);
            counters.add(new Counter(names[0], List.of(names).subList(1, names.length).stream().filter(name -> !name.isEmpty()).toList(), client.share, client.served(),
                    client.running, client.waiting.size()));
        });
        return counters;
    }

    List<Sequence> everything() {
        List<Sequence> all = new ArrayList<>(size);
        waiting.forEach(client -> all.addAll(client.waiting));
        return all;
    }

    /** Those that have not begun when they should have. */
    List<Sequence> overdue(long now) {
        List<Sequence> overdue = new ArrayList<>();
        for (Client client : waiting) {
            for (Sequence sequence : client.waiting) {
                if (sequence.standing().deadline() <= now && !sequence.begun()) {
                    overdue.add(sequence);
                }
            }
        }
        return overdue;
    }

    /** Forgets clients that would be lifted over what they have had: they lose nothing. */
    private void sweep() {
        if (clients.size() >= sweepAt) {
            double level = level();
            clients.values().removeIf(client -> client.idle() && client.served() <= level);
            sweepAt = Math.max(FIRST_SWEEP, 2 * clients.size());
        }
    }

    /** Clients remembered. */
    int clients() {
        return clients.size();
    }
}
