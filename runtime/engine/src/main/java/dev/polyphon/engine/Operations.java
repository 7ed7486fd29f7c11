package dev.polyphon.engine;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.AdapterPart;
import dev.polyphon.engine.adapter.Delta;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.adapter.TaskFault;
import dev.polyphon.engine.adapter.ops.AlignMerge;
import dev.polyphon.engine.adapter.ops.Combine;
import dev.polyphon.engine.adapter.ops.Decompose;
import dev.polyphon.engine.adapter.ops.Generate;
import dev.polyphon.engine.adapter.ops.Inspect;
import dev.polyphon.engine.adapter.ops.LoraAdapter;
import dev.polyphon.engine.adapter.ops.Merge;
import dev.polyphon.engine.adapter.ops.PlainPrefix;
import dev.polyphon.engine.adapter.ops.Prune;
import dev.polyphon.engine.adapter.ops.Quantize;
import dev.polyphon.engine.adapter.ops.SavedAdapter;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.Weight;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.merge.Fold;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Form;
import dev.polyphon.engine.model.Site;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.engine.weights.TensorFile;
import dev.polyphon.engine.weights.TorchFile;
import dev.polyphon.runtime.AdapterOperation;
import dev.polyphon.runtime.AdapterOperations;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.OperationProgress;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeFault.Kind;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.IntSummaryStatistics;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Collectors;

/** Operations on the adapters of one base. They compute on one thread of the CPU, whatever the engine computes on, and read the base's own file. */
public final class Operations implements AdapterOperations {

    /** Finds adapters by name. */
    @FunctionalInterface
    public interface Adapters {
        AdapterFolder open(String tenant, String name) throws IOException;
    }

    private final Adapters adapters;
    private final Checkpoint base;

    /** @param base null where there is none: then only what needs none can be done */
    public Operations(Adapters adapters, Checkpoint base) {
        this.adapters = adapters;
        this.base = base;
    }

    @Override
    public Map<String, Object> perform(String tenant, AdapterOperation operation, Path to, OperationProgress progress) {
        try {
            return new Performance(tenant, to, progress).of(operation);
        } catch (AdapterFault e) {
            throw RuntimeFault.of(Kind.ADAPTER_UNUSABLE, e.getMessage(), e);
        } catch (FileAlreadyExistsException e) {
            throw RuntimeFault.of(Kind.CONFLICT, e.getMessage(), e);
        } catch (IOException e) {
            throw RuntimeFault.of(Kind.INTERNAL, e.getMessage() == null ? e.toString() : e.getMessage(), e);
        } catch (IllegalArgumentException e) {
            throw RuntimeFault.of(Kind.INVALID, e.getMessage(), e);
        }
    }

    /** One operation. */
    private final class Performance {
        private final String tenant;
        private final Path to;
        private final OperationProgress progress;

        Performance(String tenant, Path to, OperationProgress progress) {
            this.tenant = tenant;
            this.to = to;
            this.progress = progress;
        }

        Map<String, Object> of(AdapterOperation operation) throws IOException {
            progress.at(0, 1);
            return switch (operation) {
                case AdapterOperation.Inspect(AdapterWeight adapter) -> inspect(adapter);
                case AdapterOperation.Convert(AdapterWeight adapter) -> convert(adapter);
                case AdapterOperation.Combine combine -> combine(combine);
                case AdapterOperation.Svd(AdapterWeight adapter, int rank, double energy) -> svd(adapter, rank, energy);
                case AdapterOperation.Prune prune -> prune(prune);
                case AdapterOperation.Quantize(AdapterWeight adapter, int bits) -> quantize(adapter, bits);
                case AdapterOperation.AlignMerge align -> align(align);
                case AdapterOperation.Merge(List<AdapterWeight> merged, String type) -> merge(merged, type);
                case AdapterOperation.Generate(AdapterWeight adapter) ->
                    facts("task", adapter.task(), "layers", Generate.save(folder(adapter), adapter.task(), base, to, progress));
            };
        }

        private AdapterFolder folder(AdapterWeight adapter) throws IOException {
            return adapters.open(tenant, adapter.name());
        }

        private Map<String, Delta> deltas(AdapterWeight adapter, OperationProgress reading) throws IOException {
            try (Kernels kernels = CpuKernels.open(1)) {
                return folder(adapter).deltas(adapter.task(), base, kernels, reading);
            }
        }

        /** Of what the adapter adds to weights, or, when it does more, of what it comes to. */
        private Map<String, Object> svd(AdapterWeight adapter, int rank, double energy) throws IOException {
            try {
                return write(Decompose.of(deltas(adapter, progress.part(0, 2)), rank, energy, progress.part(1, 2)));
            } catch (TaskFault e) {
                throw e;
            } catch (AdapterFault more) {
                try (Kernels kernels = CpuKernels.open(1); LoadedAdapter loaded = folder(adapter).load(adapter.name(), adapter.task(), base, kernels)) {
                    return write(Decompose.folded(loaded.weights(), base, kernels, rank, energy, progress.part(1, 2)));
                } catch (AdapterFault e) {
                    throw new AdapterFault(more.getMessage() + "; and it cannot be folded into weights: " + e.getMessage());
                }
            }
        }

        private Map<String, Object> convert(AdapterWeight adapter) throws IOException {
            Map<String, Delta> deltas;
            try {
                deltas = deltas(adapter, progress.part(0, 2));
            } catch (TaskFault e) {
                throw e;
            } catch (AdapterFault more) {
                return convertOther(adapter, more);
            }
            return write(Decompose.of(deltas, 0, 1, progress.part(1, 2)));
        }

        /** What stands before a sequence can be kept as PEFT has it, and what is in a pickle as safetensors. @throws AdapterFault for all else, with the reason */
        private Map<String, Object> convertOther(AdapterWeight adapter, AdapterFault otherwise) throws IOException {
            AdapterFolder folder = folder(adapter);
            SavedAdapter saved;
            try (Kernels kernels = CpuKernels.open(1); LoadedAdapter loaded = folder.load(adapter.name(), adapter.task(), base, kernels);
                    TensorFile tensors = folder.openTensors()) {
                AdapterWeights weights = loaded.weights();
                if (weights.prefix() != null && weights.sites().isEmpty() && !weights.partial()) {
                    saved = PlainPrefix.of(weights.prefix(), base.spec(), kernels);
                } else if (tensors instanceof TorchFile) {
                    saved = SavedAdapter.read(folder);
                } else {
                    throw new AdapterFault(otherwise.getMessage() + ", for which PEFT's LoRA has no place" + (Fold.obstacles(weights).isEmpty()
                            ? "; svd approximates what it comes to, merge folds it into the base" : ""));
                }
            }
            progress.at(1, 1);
            saved.save(to);
            return facts("kind", saved.kind(), "tensors", saved.tensors().size());
        }

        private Map<String, Object> inspect(AdapterWeight adapter) throws IOException {
            AdapterFolder folder = folder(adapter);
            Inspect.Report report = Inspect.of(folder, base, progress);
            Map<String, Object> facts = facts("kind", report.kind(), "parameters", report.parameters(), "bytes", report.bytes(), "norm", report.norm());
            if (!report.tasks().isEmpty()) {
                facts.put("tasks", report.tasks());
            }
            if (!report.warnings().isEmpty()) {
                facts.put("warnings", report.warnings());
            }
            facts.put("ranks", report.ranks());
            facts.put("tensors", report.modules());
            if (base != null) {
                String task = adapter.task() != null || report.tasks().isEmpty() ? adapter.task() : report.tasks().getFirst();
                try (Kernels kernels = CpuKernels.open(1); LoadedAdapter loaded = folder.load(adapter.name(), task, base, kernels)) {
                    facts.put("fits", base.spec().family());
                    facts.put("bytesInMemory", loaded.bytes());
                    if (report.ranks().isEmpty()) {
                        facts.put("ranks", widths(loaded, form -> form instanceof Form.LowRankDelta delta ? delta.a() : null));
                    }
                    Map<Integer, Integer> bottlenecks = widths(loaded, form -> form instanceof Form.Bottleneck bottleneck ? bottleneck.down() : null);
                    if (!bottlenecks.isEmpty()) {
                        facts.put("bottlenecks", bottlenecks);
                    }
                    facts.put("sites", sites(loaded));
                }
            }
            return facts;
        }

        private Map<String, Object> combine(AdapterOperation.Combine asked) throws IOException {
            Combine.Options options = new Combine.Options(Combine.Method.of(asked.method()), asked.density(), asked.majority().equals("frequency"),
                    asked.rank(), asked.seed());
            List<Combine.Part> parts = new ArrayList<>();
            for (AdapterWeight adapter : asked.adapters()) {
                OperationProgress reading = progress.part(parts.size(), asked.adapters().size() + 1);
                parts.add(new Combine.Part(adapter.name(), deltas(adapter, reading), adapter.weight()));
            }
            return write(Combine.of(parts, options, progress.part(parts.size(), parts.size() + 1)));
        }

        private Map<String, Object> prune(AdapterOperation.Prune asked) throws IOException {
            LoraAdapter adapter = Decompose.of(deltas(asked.adapter(), progress.part(0, 3)), 0, 1, progress.part(1, 3)).adapter();
            double ratio = asked.ratio() != null ? asked.ratio() : Prune.largeSparse(adapter, asked.asRank());
            Prune.Result pruned = Prune.of(adapter, ratio, base, progress.part(2, 3));
            pruned.saved().save(to);
            return facts("kept", pruned.kept(), "of", pruned.total());
        }

        private Map<String, Object> quantize(AdapterWeight adapter, int bits) throws IOException {
            Quantize.Result found = Quantize.of(folder(adapter), bits, progress);
            found.saved().save(to);
            Map<String, Object> facts = facts("relativeError", found.error());
            found.errors().entrySet().stream().max(Map.Entry.comparingByValue()).ifPresent(worst -> {
                facts.put("worst", worst.getKey());
                facts.put("worstError", worst.getValue());
            });
            return facts;
        }

        private Map<String, Object> align(AdapterOperation.AlignMerge asked) throws IOException {
            AdapterFolder first = folder(asked.first());
            AdapterFolder second = folder(asked.second());
            AlignMerge pair = AlignMerge.of(first, second);
            List<int[]> texts = asked.calibration().isEmpty() ? List.of() : tokens(asked.calibration());
            int tokens = texts.stream().mapToInt(text -> text.length).sum();
            int all = tokens + pair.modules();
            Map<String, double[][]> costs = Map.of();
            if (!texts.isEmpty()) {
                try (Kernels kernels = CpuKernels.open(1)) {
                    costs = Activations.costs(pair, first, second, texts, base, kernels, (done, total) -> progress.at(done, all));
                }
            }
            AlignMerge.Options options = new AlignMerge.Options(asked.sinkhorn(), asked.weight(), costs);
            SavedAdapter merged = pair.merge(options, (done, total) -> progress.at(tokens + done, all));
            merged.save(to);
            Map<String, Object> facts = facts("tensors", merged.tensors().size());
            if (!texts.isEmpty()) {
                facts.put("calibrationTokens", tokens);
            }
            return facts;
        }

        private List<int[]> tokens(List<Prompt> texts) throws IOException {
            try (ModelText text = ModelText.open(base.source())) {
                return texts.stream().map(text::encode).toList();
            }
        }

        private Map<String, Object> merge(List<AdapterWeight> merged, String type) throws IOException {
            List<AdapterPart> parts = new ArrayList<>();
            for (AdapterWeight adapter : merged) {
                parts.add(new AdapterPart(adapter.name(), folder(adapter), adapter.task(), adapter.weight()));
            }
            try (Kernels kernels = CpuKernels.open(1); LoadedAdapter adapter = AdapterFolder.load(parts, base, kernels)) {
                Merge.Result result = Merge.write(adapter.weights(), base, kernels, type == null ? null : DType.valueOf(type), to, progress);
                return facts("changed", result.changed(), "tensors", result.tensors(), "bytes", result.bytes());
            }
        }

        private Map<String, Object> write(Decompose.Result found) throws IOException {
            Map<String, Object> facts = write(found.adapter());
            facts.put("largestError", found.errors().values().stream().mapToDouble(Double::doubleValue).max().orElse(0));
            return facts;
        }

        private Map<String, Object> write(LoraAdapter adapter) throws IOException {
            adapter.save(to, base);
            IntSummaryStatistics ranks = adapter.modules().values().stream().mapToInt(LoraAdapter.Factors::rank).summaryStatistics();
            return facts("modules", adapter.modules().size(), "leastRank", ranks.getMin(), "mostRank", ranks.getMax());
        }
    }

    /** What an adapter does where: its forms by module, with the number of sites that have them. */
    private static Map<String, Object> sites(LoadedAdapter adapter) {
        Map<String, Map<String, Integer>> forms = new TreeMap<>();
        for (Site site : adapter.weights().sites()) {
            String name = site.toString().replaceAll("\\d+", "*");
            String does = adapter.weights().at(site).stream().map(form -> form.getClass().getSimpleName()).distinct().collect(Collectors.joining(", "));
            forms.computeIfAbsent(name, n -> new TreeMap<>()).merge(does, 1, Integer::sum);
        }
        return new TreeMap<>(forms);
    }

    /** How many forms have how many rows in a matrix of theirs; forms without it are left out. */
    private static Map<Integer, Integer> widths(LoadedAdapter adapter, Function<Form, Weight> matrix) {
        Map<Integer, Integer> widths = new TreeMap<>();
        adapter.weights().sites().stream().flatMap(site -> adapter.weights().at(site).stream()).map(matrix).filter(Objects::nonNull)
                .forEach(weight -> widths.merge(weight.out(), 1, Integer::sum));
        return widths;
    }

    private static Map<String, Object> facts(Object... namesAndValues) {
        Map<String, Object> facts = new LinkedHashMap<>();
        for (int i = 0; i < namesAndValues.length; i += 2) {
            facts.put((String) namesAndValues[i], namesAndValues[i + 1]);
        }
        return facts;
    }
}
