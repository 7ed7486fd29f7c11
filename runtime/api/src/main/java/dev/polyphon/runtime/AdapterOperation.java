package dev.polyphon.runtime;

import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;

/**
 * Something to be made of adapters, for {@link AdapterOperations}. Names are those that the one who performs it knows adapters by; an adapter's weight counts
 * only where several are added up.
 */
public sealed interface AdapterOperation {

    /** What it reads; at least one. */
    List<AdapterWeight> adapters();

    /** What becomes of it. */
    default Outcome outcome() {
        return Outcome.ADAPTER;
    }

    /** What an operation leaves. */
    enum Outcome {
        /** Nothing but what it tells. */
        REPORT,
        /** A folder with an adapter. */
        ADAPTER,
        /** A model of its own: a folder, or a file where the base is one. */
        MODEL
    }

    /** Tells kind, ranks, size, norm and, where there is a base, sites. */
    record Inspect(AdapterWeight adapter) implements AdapterOperation {
        @Override
        public List<AdapterWeight> adapters() {
            return List.of(adapter);
        }

        @Override
        public Outcome outcome() {
            return Outcome.REPORT;
        }
    }

    /** A plain LoRA adapter for one that only changes weights. */
    record Convert(AdapterWeight adapter) implements AdapterOperation {
        @Override
        public List<AdapterWeight> adapters() {
            return List.of(adapter);
        }
    }

    /**
     * One LoRA adapter of several, as PEFT's {@code add_weighted_adapter} makes it.
     *
     * @param method {@code linear}, {@code cat}, {@code svd}, {@code ties}, {@code dare_linear}, ...
     * @param density share of the entries that pruning methods keep, more than 0 to 1
     * @param majority how TIES elects signs: {@code total} or {@code frequency}
     * @param rank of the results of methods with {@code svd}; 0 for the largest among the adapters
     * @param seed of DARE's choice
     */
    record Combine(List<AdapterWeight> adapters, String method, double density, String majority, int rank, long seed) implements AdapterOperation {
        public Combine {
            adapters = some(adapters);
            Objects.requireNonNull(method);
            oneOf("majority_sign", majority, "total", "frequency");
        }
    }

    /**
     * The best LoRA adapter of a rank, or of a share of the squared norm.
     *
     * @param rank most rank of a module; 0 for any
     * @param energy share that is enough, more than 0 to 1
     */
    record Svd(AdapterWeight adapter, int rank, double energy) implements AdapterOperation {
        @Override
        public List<AdapterWeight> adapters() {
            return List.of(adapter);
        }
    }

    /**
     * Drops the smallest entries (SparseAdapter), by one of two amounts.
     *
     * @param ratio share to drop, 0 to less than 1; null where {@code asRank} says how many
     * @param asRank leaves as many as an adapter of this rank has (Large-Sparse); null where {@code ratio} says how many
     */
    record Prune(AdapterWeight adapter, Double ratio, Integer asRank) implements AdapterOperation {
        public Prune {
            if ((ratio == null) == (asRank == null)) {
                throw RuntimeFault.invalid("ratio", "one of ratio and as_rank must be given");
            }
        }

        @Override
        public List<AdapterWeight> adapters() {
            return List.of(adapter);
        }
    }

    /** Stores matrices in fewer bits. @param bits 8 or 1 */
    record Quantize(AdapterWeight adapter, int bits) implements AdapterOperation {
        @Override
        public List<AdapterWeight> adapters() {
            return List.of(adapter);
        }
    }

    /**
     * Averages two adapters of one shape after bringing the neurons of the second into the order of the first's (MerA).
     *
     * @param sinkhorn whether the transport is Sinkhorn's plan, not the exact assignment
     * @param weight of the first in the average, 0 to 1
     * @param calibration what neurons are compared on, by what each adapter's compute when the base runs these texts with it; empty to compare their weights
     */
    record AlignMerge(AdapterWeight first, AdapterWeight second, boolean sinkhorn, double weight, List<Prompt> calibration) implements AdapterOperation {
        public AlignMerge {
            calibration = List.copyOf(calibration);
        }

        @Override
        public List<AdapterWeight> adapters() {
            return List.of(first, second);
        }
    }

    /** Folds adapters, added up by their weights, into their base. @param type F32, F16 or BF16 for all matrices; null for the base's */
    record Merge(List<AdapterWeight> adapters, String type) implements AdapterOperation {
        public Merge {
            adapters = some(adapters);
            if (type != null) {
                oneOf("type", type, "F32", "F16", "BF16");
            }
        }

        @Override
        public Outcome outcome() {
            return Outcome.MODEL;
        }
    }

    /** The adapter that a hypernetwork generates for the task that is named with it. */
    record Generate(AdapterWeight adapter) implements AdapterOperation {
        public Generate {
            if (adapter.task() == null) {
                throw RuntimeFault.invalid("task", "the task to generate an adapter for must be named");
            }
        }

        @Override
        public List<AdapterWeight> adapters() {
            return List.of(adapter);
        }
    }

    private static List<AdapterWeight> some(List<AdapterWeight> adapters) {
        if (adapters.isEmpty()) {
            throw RuntimeFault.invalid("adapters", "at least one adapter must be named");
        }
        return List.copyOf(adapters);
    }

    private static void oneOf(String field, String value, String... allowed) {
        if (Stream.of(allowed).noneMatch(one -> one.equals(value))) {
            throw RuntimeFault.invalid(field, field + " must be " + String.join(" or ", allowed) + ", found " + value);
        }
    }
}
