package dev.polyphon.engine.schedule;

import dev.polyphon.engine.model.AdapterWeights;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.WeakHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Computes the work of a step so that what cannot be computed fails alone: work that fails together is computed again in halves, down to the sequences at
 * fault. Rows are computed bit for bit alike whatever is computed beside them, and keys and values that a failed attempt left are written again, so the others go on
 * with the same tokens. From then on an adapter that was at fault is computed apart, after all others, until that succeeds: it costs the others no
 * further attempts.
 *
 * <p>Used by the step loop's thread alone.
 */
final class FaultIsolation {
    private static final Logger LOG = LoggerFactory.getLogger(FaultIsolation.class);

    /** What a step consists of. */
    interface Step {
        /** Computes some work at once; what it throws is the fault of some of that work. */
        void compute(List<Work> part);

        /** Some work was computed, the last that was tried. */
        void computed(List<Work> part);

        /** A plan cannot be computed at once: called before anything of it is given up. */
        void broken(List<Work> plan);

        /** Some work cannot be computed, not even by itself. */
        void failed(Work work, Throwable cause);

        /** Some work can only be computed later: it goes on from what other work should have computed and did not. */
        void putBack(Work work);

        /** Whether a sequence goes on; what its work would have computed is not needed when it does not. */
        boolean open(Work work);
    }

    private final Step step;
    private final int blockSize;
    private final Set<AdapterWeights> suspects = Collections.newSetFromMap(new WeakHashMap<>());

    FaultIsolation(int blockSize, Step step) {
        this.blockSize = blockSize;
        this.step = step;
    }

    /** Computes a plan. @return whether all was computed at once */
    boolean run(List<Work> plan) {
        List<Work> suspected = suspects.isEmpty() ? List.of() : plan.stream().filter(work -> suspects.contains(work.sequence().adapter())).toList();
        Attempt attempt = new Attempt(plan);
        if (suspected.isEmpty() || suspected.size() == plan.size()) {
            return attempt.compute(plan);
        }
        attempt.split();
        attempt.compute(plan.stream().filter(work -> !suspected.contains(work)).toList());
        attempt.compute(suspected);
        return false;
    }

    private final class Attempt {
        private final List<Work> plan;
        /** By block, what of the plan is to write it and has not; empty as long as everything is computed at once. */
        private final Map<Integer, Work> unwritten = new HashMap<>();
        private boolean broken;

        Attempt(List<Work> plan) {
            this.plan = plan;
        }

        /** From now on some of the plan is computed before the rest. */
        void split() {
            for (Work work : plan) {
                for (int i = work.firstBlock(blockSize); i < (work.from() + work.rows() + blockSize - 1) / blockSize; i++) {
                    unwritten.put(work.sequence().blocks()[i], work);
                }
            }
        }

        boolean compute(List<Work> wanted) {
            List<Work> part = unwritten.isEmpty() ? wanted : computable(wanted);
            if (part.isEmpty()) {
                return false;
            }
            Throwable cause = attempt(part);
            if (cause == null) {
                if (!unwritten.isEmpty()) {
                    unwritten.values().removeAll(part);
                }
                if (!suspects.isEmpty()) {
                    part.forEach(work -> suspects.remove(work.sequence().adapter()));
                }
                step.computed(part);
                return true;
            }
            if (!broken) {
                LOG.error("a step of {} sequences failed; it is computed in parts", part.size(), cause);
            }
            breakUp();
            if (part.size() == 1) {
                fail(part.getFirst(), cause);
            } else {
                if (unwritten.isEmpty()) {
                    split();
                }
                compute(part.subList(0, part.size() / 2));
                compute(part.subList(part.size() / 2, part.size()));
            }
            return false;
        }

        private Throwable attempt(List<Work> part) {
            try {
                step.compute(part);
                return null;
            } catch (RuntimeException | Error e) {
                return e;
            }
        }

        private void breakUp() {
            if (!broken) {
                broken = true;
                step.broken(plan);
            }
        }

        private void fail(Work work, Throwable cause) {
            if (work.sequence().adapter() != null) {
                suspects.add(work.sequence().adapter());
            }
            step.failed(work, cause);
        }

        /** What of it goes on, and from keys and values that are there or are computed with it. */
        private List<Work> computable(List<Work> wanted) {
            List<Work> part = new ArrayList<>(wanted);
            if (part.removeIf(work -> !step.open(work))) {
                breakUp();
            }
            boolean all = false;
            while (!all) {
                List<Work> unfounded = part.stream().filter(work -> !founded(work, part)).toList();
                if (!unfounded.isEmpty()) {
                    breakUp();
                }
                unfounded.forEach(step::putBack);
                part.removeAll(unfounded);
                all = unfounded.isEmpty();
            }
            return part;
        }

        private boolean founded(Work work, List<Work> part) {
            for (int i = 0; i < work.firstBlock(blockSize); i++) {
                Work writer = unwritten.get(work.sequence().blocks()[i]);
                if (writer != null && !part.contains(writer)) {
                    return false;
                }
            }
            return true;
        }
    }
}
