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

/** Builds an {@link Automaton} from rules (Thompson 1968, with calls), cuts off what leads nowhere, and refuses rules that call themselves first. */
final class AutomatonBuilder {
    /** How deep expressions may be nested. */
    private static final int MAX_DEPTH = 500;
    /** Copies of a repeated expression above this size go through a rule of its own. */
    private static final int INLINE = 6;

    private record Bounds(int start, int end) {}

    private final RuleSet rules;
    private final BitSet spelled;
    private final int maxNodes;
    private final List<Node> nodes = new ArrayList<>();
    private final Map<String, Bounds> bounds = new HashMap<>();
    private final Map<Integer, Integer> endOfStart = new HashMap<>();
    private final ArrayDeque<String> toBuild = new ArrayDeque<>();
    private final Map<Expr, Bounds> repeated = new HashMap<>();
    private int start;

    AutomatonBuilder(RuleSet rules, BitSet spelled, int maxNodes) {
        this.rules = rules;
        this.spelled = spelled;
        this.maxNodes = maxNodes;
    }

    int start() {
        return start;
    }

    Node[] build() {
        Bounds root = bounds();
        start = root.start;
        add(rules.root(), root.start, root.end, 0);
        for (String name = toBuild.poll(); name != null; name = toBuild.poll()) {
            Bounds rule = bounds.get(name);
            add(rules.rules().get(name), rule.start, rule.end, 0);
        }
        trim();
        refuseLeftRecursion();
        markTails();
        return nodes.toArray(Node[]::new);
    }

    private int node() {
        if (nodes.size() >= maxNodes) {
            throw new GrammarException("the grammar is too large: it needs more than " + maxNodes + " states. Large counts of repetition and long "
                    + "lists of alternatives are what costs most");
        }
        nodes.add(new Node());
        return nodes.size() - 1;
    }

    private Bounds bounds() {
        var made = new Bounds(node(), node());
        nodes.get(made.end).end = true;
        endOfStart.put(made.start, made.end);
        return made;
    }

    private void add(Expr expr, int from, int to, int depth) {
        if (depth > MAX_DEPTH) {
            throw new GrammarException("the grammar is nested too deeply: at most " + MAX_DEPTH + " levels are allowed");
        }
        switch (expr) {
            case Expr.Chars(CharSet set) -> chars(set, from, to);
            case Expr.Seq(List<Expr> parts) -> {
                int at = from;
                for (int i = 0; i < parts.size(); i++) {
                    int next = i == parts.size() - 1 ? to : node();
                    add(parts.get(i), at, next, depth + 1);
                    at = next;
                }
                if (parts.isEmpty()) {
                    nodes.get(from).silent(to);
                }
            }
            case Expr.Alt(List<Expr> options) -> {
                for (Expr option : options) {
                    // A node of its own, or a loop at the option's beginning would let the others be entered again.
                    int begin = node();
                    nodes.get(from).silent(begin);
                    add(option, begin, to, depth + 1);
                }
            }
            case Expr.Repeat repeat -> repeat(repeat, from, to, depth);
            case Expr.Ref(String rule) -> call(rule, from, to);
        }
    }

    private void call(String rule, int from, int to) {
        if (!rules.has(rule)) {
            throw new GrammarException("there is no rule '" + rule + "'");
        }
        Bounds called = bounds.computeIfAbsent(rule, name -> {
            toBuild.add(name);
            return bounds();
        });
        nodes.get(from).call(called.start, to);
    }

    private void repeat(Expr.Repeat repeat, int from, int to, int depth) {
        if (repeat.max() >= 0 && repeat.max() < repeat.min()) {
            throw new GrammarException("a repetition of " + repeat.min() + " to " + repeat.max() + " times is none");
        }
        Expr body = repeat.body();
        boolean shared = Math.max(repeat.min(), repeat.max()) > 1 && !(body instanceof Expr.Ref) && size(body) > INLINE;
        int at = from;
        for (int i = 0; i < repeat.min(); i++) {
            int next = node();
            copy(body, shared, at, next, depth);
            at = next;
        }
        if (repeat.max() < 0) {
            int loop = node();
            int back = node();
            nodes.get(at).silent(loop);
            copy(body, shared, loop, back, depth);
            nodes.get(back).silent(loop);
            nodes.get(loop).silent(to);
            return;
        }
        for (int i = repeat.min(); i < repeat.max(); i++) {
            nodes.get(at).silent(to);
            int begin = node();
            nodes.get(at).silent(begin);
            int next = node();
            copy(body, shared, begin, next, depth);
            at = next;
        }
        nodes.get(at).silent(to);
    }

    private void copy(Expr body, boolean shared, int from, int to, int depth) {
        if (!shared) {
            add(body, from, to, depth + 1);
            return;
        }
        Bounds rule = repeated.get(body);
        if (rule == null) {
            rule = bounds();
            repeated.put(body, rule);
            add(body, rule.start, rule.end, depth + 1);
        }
        nodes.get(from).call(rule.start, to);
    }

    /** About how many nodes an expression needs, counted up to a little more than {@link #INLINE}. */
    private static int size(Expr expr) {
        return switch (expr) {
            case Expr.Chars(CharSet set) -> set.bounds().length > 2 || !set.isEmpty() && set.bounds()[1] > 0x7F ? INLINE : 1;
            case Expr.Seq(List<Expr> parts) -> sum(parts);
            case Expr.Alt(List<Expr> options) -> sum(options);
            case Expr.Repeat repeat -> (int) Math.min(INLINE + 1L, (long) size(repeat.body()) * Math.max(1, Math.max(repeat.min(), repeat.max())) + 1);
            case Expr.Ref _ -> 1;
        };
    }

    private static int sum(List<Expr> parts) {
        int sum = 0;
        for (int i = 0; i < parts.size() && sum <= INLINE; i++) {
            sum += size(parts.get(i));
        }
        return sum;
    }

    /** Sequences of bytes that end alike share their ends. */
    private void chars(CharSet set, int from, int to) {
        Map<List<Integer>, Integer> ends = new HashMap<>();
        for (int i = 0; i < set.bounds().length; i += 2) {
            Utf8.split(set.bounds()[i], set.bounds()[i + 1], bytes -> {
                int target = to;
                List<Integer> rest = List.of();
                for (int at = bytes.length - 2; at > 0; at -= 2) {
                    var longer = new ArrayList<>(List.of(bytes[at], bytes[at + 1]));
                    longer.addAll(rest);
                    rest = List.copyOf(longer);
                    Integer known = ends.get(rest);
                    if (known == null) {
                        known = node();
                        edge(known, bytes[at], bytes[at + 1], target);
                        ends.put(rest, known);
                    }
                    target = known;
                }
                edge(from, bytes[0], bytes[1], target);
            });
        }
    }

    /** An edge for each run of bytes that can be spelled. */
    private void edge(int from, int first, int last, int to) {
        for (int begin = spelled.nextSetBit(first); begin >= 0 && begin <= last; ) {
            int end = Math.min(last, spelled.nextClearBit(begin) - 1);
            nodes.get(from).edge(begin, end, to);
            begin = spelled.nextSetBit(end + 1);
        }
    }

    // What leads to no end is cut off.

    private void trim() {
        BitSet live = live();
        if (!live.get(start)) {
            throw new GrammarException("the grammar matches nothing that this model's tokens can spell");
        }
        for (Node node : nodes) {
            int[] kept = indices(node.to.length, i -> live.get(node.to[i]));
            node.first = pick(node.first, kept);
            node.last = pick(node.last, kept);
            node.to = pick(node.to, kept);
            node.silent = pick(node.silent, indices(node.silent.length, i -> live.get(node.silent[i])));
            int[] calls = indices(node.callStart.length, i -> live.get(node.callStart[i]) && live.get(node.callReturn[i]));
            node.callStart = pick(node.callStart, calls);
            node.callReturn = pick(node.callReturn, calls);
        }
    }

    /** Nodes from which the end of their rule can be reached; a rule's start is live when the rule has an end to reach. */
    private BitSet live() {
        List<List<Integer>> before = new ArrayList<>();
        nodes.forEach(_ -> before.add(new ArrayList<>()));
        for (int n = 0; n < nodes.size(); n++) {
            Node node = nodes.get(n);
            for (int[] targets : List.of(node.to, node.silent, node.callReturn, node.callStart)) {
                for (int target : targets) {
                    before.get(target).add(n);
                }
            }
        }
        BitSet live = new BitSet(nodes.size());
        var work = new ArrayDeque<Integer>();
        for (int n = 0; n < nodes.size(); n++) {
            if (nodes.get(n).end) {
                live.set(n);
                work.add(n);
            }
        }
        while (!work.isEmpty()) {
            for (int n : before.get(work.poll())) {
                if (!live.get(n) && leadsOn(nodes.get(n), live)) {
                    live.set(n);
                    work.add(n);
                }
            }
        }
        return live;
    }

    private static boolean leadsOn(Node node, BitSet live) {
        for (int i = 0; i < node.callStart.length; i++) {
            if (live.get(node.callStart[i]) && live.get(node.callReturn[i])) {
                return true;
            }
        }
        return Arrays.stream(node.to).anyMatch(live::get) || Arrays.stream(node.silent).anyMatch(live::get);
    }

    private static int[] indices(int length, java.util.function.IntPredicate kept) {
        return java.util.stream.IntStream.range(0, length).filter(kept).toArray();
    }

    private static int[] pick(int[] values, int[] kept) {
        return Arrays.stream(kept).map(i -> values[i]).toArray();
    }

    // A rule that calls itself before it takes a byte would call for ever.

    private void refuseLeftRecursion() {
        Set<Integer> nullable = nullable();
        Map<Integer, Set<Integer>> callsFirst = new HashMap<>();
        for (int rule : endOfStart.keySet()) {
            callsFirst.put(rule, callsFirst(rule, nullable));
        }
        var done = new HashSet<Integer>();
        for (int rule : endOfStart.keySet()) {
            visit(rule, callsFirst, new HashSet<>(), done);
        }
    }

    private void visit(int first, Map<Integer, Set<Integer>> calls, Set<Integer> path, Set<Integer> done) {
        record Step(int rule, java.util.Iterator<Integer> rest) {}
        var steps = new ArrayDeque<Step>();
        if (done.add(first)) {
            path.add(first);
            steps.push(new Step(first, calls.get(first).iterator()));
        }
        while (!steps.isEmpty()) {
            Step step = steps.peek();
            if (!step.rest.hasNext()) {
                path.remove(step.rule);
                steps.pop();
                continue;
            }
            int next = step.rest.next();
            if (path.contains(next)) {
                throw new GrammarException("the rule" + name(next) + " is left-recursive: it calls itself before anything else. Write it so that something "
                        + "comes before the call");
            }
            if (done.add(next)) {
                path.add(next);
                steps.push(new Step(next, calls.get(next).iterator()));
            }
        }
    }

    private String name(int ruleStart) {
        return bounds.entrySet().stream().filter(e -> e.getValue().start == ruleStart).findFirst().map(e -> " '" + e.getKey() + "'").orElse("");
    }

    /** Starts of rules that match the empty text. */
    private Set<Integer> nullable() {
        var nullable = new HashSet<Integer>();
        for (boolean grows = true; grows; ) {
            grows = false;
            for (var rule : endOfStart.entrySet()) {
                if (!nullable.contains(rule.getKey()) && silently(rule.getKey(), nullable).get(rule.getValue())) {
                    nullable.add(rule.getKey());
                    grows = true;
                }
            }
        }
        return nullable;
    }

    private Set<Integer> callsFirst(int rule, Set<Integer> nullable) {
        var calls = new HashSet<Integer>();
        silently(rule, nullable).stream().forEach(n -> Arrays.stream(nodes.get(n).callStart).forEach(calls::add));
        return calls;
    }

    /** What is reached from a node without a byte, within its rule. */
    private BitSet silently(int from, Set<Integer> nullable) {
        BitSet seen = new BitSet(nodes.size());
        var work = new ArrayDeque<Integer>();
        work.add(from);
        seen.set(from);
        while (!work.isEmpty()) {
            Node node = nodes.get(work.poll());
            for (int next : node.silent) {
                if (!seen.get(next)) {
                    seen.set(next);
                    work.add(next);
                }
            }
            for (int i = 0; i < node.callStart.length; i++) {
                if (nullable.contains(node.callStart[i]) && !seen.get(node.callReturn[i])) {
                    seen.set(node.callReturn[i]);
                    work.add(node.callReturn[i]);
                }
            }
        }
        return seen;
    }

    private void markTails() {
        for (boolean grows = true; grows; ) {
            grows = false;
            for (Node node : nodes) {
                if (!node.tail && node.to.length == 0 && node.callStart.length == 0
                        && (node.end || node.silent.length == 1 && nodes.get(node.silent[0]).tail)) {
                    node.tail = true;
                    grows = true;
                }
            }
        }
    }
}
