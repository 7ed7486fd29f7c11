package dev.polyphon.engine.sample.grammar;

import java.util.Arrays;
import java.util.BitSet;

/**
 * A nondeterministic automaton over bytes with calls. A node has edges that take a byte, edges that take nothing, and calls: a call goes through a
 * rule's part of the automaton, from the rule's start to its end, and on from the node behind it. Immutable.
 */
final class Automaton {
    /** Edges of one node, as arrays that run in parallel. */
    static final class Node {
        private static final int[] NONE = {};

        /** First and last byte of each edge, and where it leads. */
        int[] first = NONE;
        int[] last = NONE;
        int[] to = NONE;
        int[] silent = NONE;
        /** Start of the rule that each call goes through, and the node behind the call. */
        int[] callStart = NONE;
        int[] callReturn = NONE;
        /** Whether it is the end of its rule. */
        boolean end;
        /** Whether from here only the end of its rule can be reached, with nothing between. */
        boolean tail;

        void edge(int from, int upTo, int target) {
            first = add(first, from);
            last = add(last, upTo);
            to = add(to, target);
        }

        void silent(int target) {
            silent = add(silent, target);
        }

        void call(int start, int after) {
            callStart = add(callStart, start);
            callReturn = add(callReturn, after);
        }

        private static int[] add(int[] array, int value) {
            int[] longer = Arrays.copyOf(array, array.length + 1);
            longer[array.length] = value;
            return longer;
        }
    }

    private final Node[] nodes;
    private final int start;
    private final byte[] classes = new byte[256];
    private final int classCount;

    private Automaton(Node[] nodes, int start) {
        this.nodes = nodes;
        this.start = start;
        BitSet begins = new BitSet(257);
        begins.set(0);
        for (Node node : nodes) {
            for (int i = 0; i < node.to.length; i++) {
                begins.set(node.first[i]);
                begins.set(node.last[i] + 1);
            }
        }
        int count = 0;
        for (int b = 0; b < 256; b++) {
            count += begins.get(b) ? 1 : 0;
            classes[b] = (byte) (count - 1);
        }
        classCount = count;
    }

    /**
     * Compiles rules.
     *
     * @param spelled bytes that a token spells by itself; others are left out
     * @param maxNodes size at which a grammar is refused
     * @throws GrammarException also when nothing but the empty text would match
     */
    static Automaton of(RuleSet rules, BitSet spelled, int maxNodes) {
        var builder = new AutomatonBuilder(rules, spelled, maxNodes);
        Node[] nodes = builder.build();
        return new Automaton(nodes, builder.start());
    }

    Node node(int index) {
        return nodes[index];
    }

    int size() {
        return nodes.length;
    }

    int start() {
        return start;
    }

    /** Bytes of one class are never told apart. */
    int classOf(byte b) {
        return classes[b & 0xFF] & 0xFF;
    }

    int classCount() {
        return classCount;
    }

    /** A byte of the class. */
    int representative(int byteClass) {
        int b = 0;
        while ((classes[b] & 0xFF) != byteClass) {
            b++;
        }
        return b;
    }
}
