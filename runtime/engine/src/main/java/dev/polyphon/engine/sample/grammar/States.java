package dev.polyphon.engine.sample.grammar;

import dev.polyphon.engine.sample.grammar.Automaton.Node;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The automaton made deterministic on the way: a state is the set of all places, with their stacks of calls, that the bytes so far lead to. States, their
 * successors and their masks are made when they are first met and shared by all sequences with the grammar. When they come to weigh too much all are
 * forgotten and made anew, as RE2 does (Cox 2010); sequences go on with the ones they hold. Thread-safe.
 */
final class States {
    /** Places that one state may have at once. */
    private static final int MAX_PLACES = 5_000;
    /** Places that may be looked at for one mask: what a mask costs is bounded. */
    private static final int MAX_WORK = 5_000_000;

    /** A node with what is to be done after its rule's end; equal ones are one object. */
    private static final class Place {
        final int node;
        final Place after;

        Place(int node, Place after) {
            this.node = node;
            this.after = after;
        }
    }

    private record PlaceKey(int node, Place after) {
        @Override
        public boolean equals(Object other) {
            return other instanceof PlaceKey key && key.node == node && key.after == after;
        }

        @Override
        public int hashCode() {
            return 31 * node + System.identityHashCode(after);
        }
    }

    /** Belongs to {@link States}; used only by it and as an identity. */
    static final class State {
        private final Place[] places;
        private final boolean accepts;
        private final State[] next;
        private long[] mask;

        private State(Place[] places, boolean accepts, int classes) {
            this.places = places;
            this.accepts = accepts;
            next = new State[classes];
        }

        /** Whether the text so far matches as a whole. */
        boolean accepts() {
            return accepts;
        }

        /** Whether the text so far can go on. */
        boolean goesOn() {
            return places.length > 0;
        }
    }

    private final Automaton automaton;
    private final TokenTable tokens;
    private final boolean stripsFirstSpace;
    private final long maxBytes;
    private final State dead;
    private final Map<PlaceKey, Place> places = new HashMap<>();
    private final Map<Set<Place>, State> accepting = new HashMap<>();
    private final Map<Set<Place>, State> others = new HashMap<>();
    private final State[] path;
    private final State start;
    private long bytes;
    private long looked;

    /**
     * @param stripsFirstSpace whether a space at the very beginning of the output is no part of its text
     * @param maxBytes about how much memory states may take
     */
    States(Automaton automaton, TokenTable tokens, boolean stripsFirstSpace, long maxBytes) {
        this.automaton = automaton;
        this.tokens = tokens;
        this.stripsFirstSpace = stripsFirstSpace;
        this.maxBytes = maxBytes;
        dead = new State(new Place[0], false, automaton.classCount());
        path = new State[tokens.longest() + 1];
        State first = closure(List.of(place(automaton.start(), null)));
        // An object of its own: the same places may be reached again later, where a space is no longer the first.
        start = new State(first.places, first.accepts, automaton.classCount());
        if (!start.goesOn()) {
            throw new GrammarException("the grammar matches nothing but the empty text");
        }
    }

    State start() {
        return start;
    }

    /** The tokens that may follow, one bit each; not to be changed. Where the state accepts, the end may follow as well. */
    synchronized long[] mask(State state) {
        if (state.mask == null) {
            looked = 0;
            state.mask = computeMask(state);
            bytes += 8L * state.mask.length;
        }
        return state.mask;
    }

    /** Whether {@link #mask} will have to compute. */
    synchronized boolean needsMask(State state) {
        return state.mask == null && state.goesOn();
    }

    /** Where a token that the mask allows leads. */
    synchronized State after(State state, byte[] token) {
        looked = 0;
        if (bytes > maxBytes) {
            forget();
        }
        State at = state;
        for (int i = state == start && begins(token) ? 1 : 0; i < token.length; i++) {
            at = next(at, token[i]);
        }
        return at;
    }

    private void forget() {
        places.clear();
        accepting.clear();
        others.clear();
        Arrays.fill(start.next, null);
        start.mask = null;
        bytes = 0;
    }

    private boolean begins(byte[] token) {
        return stripsFirstSpace && token.length > 0 && token[0] == ' ';
    }

    private long[] computeMask(State state) {
        long[] mask = new long[tokens.words()];
        path[0] = state;
        // Bytes of the token before that lead somewhere.
        int alive = 0;
        boolean first = state == start && stripsFirstSpace;
        for (int i = 0; i < tokens.count(); i++) {
            int shared = tokens.shared(i);
            if (shared > alive) {
                continue;
            }
            int length = tokens.length(i);
            alive = shared;
            while (alive < length) {
                byte b = tokens.at(i, alive);
                State next = first && alive == 0 && b == ' ' ? state : next(path[alive], b);
                if (next == dead) {
                    break;
                }
                path[++alive] = next;
            }
            if (alive == length) {
                int id = tokens.id(i);
                mask[id >> 6] |= 1L << id;
            }
        }
        return mask;
    }

    private State next(State state, byte b) {
        int byteClass = automaton.classOf(b);
        State next = state.next[byteClass];
        if (next == null) {
            next = step(state, b & 0xFF);
            state.next[byteClass] = next;
        }
        return next;
    }

    private State step(State state, int b) {
        List<Place> reached = new ArrayList<>();
        for (Place place : state.places) {
            Node node = automaton.node(place.node);
            for (int i = 0; i < node.to.length; i++) {
                if (b >= node.first[i] && b <= node.last[i]) {
                    reached.add(place(node.to[i], place.after));
                }
            }
        }
        return reached.isEmpty() ? dead : closure(reached);
    }

    /** The state of all places that are reached from some without a byte. */
    private State closure(List<Place> from) {
        Set<Place> seen = new HashSet<>(from);
        var work = new ArrayDeque<>(from);
        Set<Place> takers = new HashSet<>();
        boolean accepts = false;
        while (!work.isEmpty()) {
            Place place = work.poll();
            Node node = automaton.node(place.node);
            if (node.to.length > 0) {
                takers.add(place);
            }
            if (node.end) {
                if (place.after == null) {
                    accepts = true;
                } else if (seen.add(place.after)) {
                    work.add(place.after);
                }
            }
            for (int next : node.silent) {
                reach(place(next, place.after), seen, work);
            }
            for (int i = 0; i < node.callStart.length; i++) {
                // A call that is the last thing its rule does returns where its rule returns.
                boolean tail = automaton.node(node.callReturn[i]).tail;
                reach(place(node.callStart[i], tail ? place.after : place(node.callReturn[i], place.after)), seen, work);
            }
            if (++looked > MAX_WORK || seen.size() > MAX_PLACES) {
                throw new GrammarException("the grammar is too ambiguous: there are too many ways to read this output and to go on");
            }
        }
        var known = accepts ? accepting : others;
        State state = known.get(takers);
        if (state == null) {
            state = new State(takers.toArray(Place[]::new), accepts, automaton.classCount());
            known.put(takers, state);
            bytes += 64 + 8L * automaton.classCount() + 56L * state.places.length;
        }
        return state;
    }

    private static void reach(Place place, Set<Place> seen, ArrayDeque<Place> work) {
        if (seen.add(place)) {
            work.add(place);
        }
    }

    private Place place(int node, Place after) {
        var key = new PlaceKey(node, after);
        Place known = places.get(key);
        if (known == null) {
            known = new Place(node, after);
            places.put(key, known);
            bytes += 96;
        }
        return known;
    }
}
