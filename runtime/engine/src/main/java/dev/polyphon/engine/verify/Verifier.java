package dev.polyphon.engine.verify;

import dev.polyphon.engine.Engine;
import dev.polyphon.engine.EngineOptions;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.adapter.ops.Combine;
import dev.polyphon.engine.adapter.ops.LoraAdapter;
import dev.polyphon.engine.adapter.ops.Merge;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.KvCache;
import dev.polyphon.engine.merge.Fold;
import dev.polyphon.engine.model.AdapterPlan;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.engine.model.AdapterWeights.Prefix;
import dev.polyphon.engine.model.ArchitectureSpec;
import dev.polyphon.engine.model.BaseWeights;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Decoder;
import dev.polyphon.engine.pool.PoolOptions;
import dev.polyphon.engine.schedule.Sequence;
import dev.polyphon.engine.schedule.StepRows;
import dev.polyphon.engine.schedule.Work;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.OperationProgress;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.Sampling;
import dev.polyphon.runtime.TokenEvent;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * Holds the engine to reference vectors: folders {@code bases}, {@code adapters} and {@code cases}, each case with prompts, the logits of every
 * position and the greedy ids that follow. Logits are computed by the decoder, greedy ids by a complete engine; mixed, all cases of a base are rows
 * of one step and requests at one engine.
 */
public final class Verifier {
    private static final int BLOCK_SIZE = 16;
    private static final long ANY_BYTES = 1L << 50;
    private static final long KV_BYTES = 64 << 20;
    private static final String TENANT = "verify";

    /** How cases are run. */
    public enum Mode {
        /** Each by itself. */
        ALONE,
        /** All of a base in one batch. */
        MIXED,
        /** All in one batch, after each adapter was unloaded, registered again and loaded anew. */
        RELOADED,
        /** Each adapter that can be folded into its base written as a model of its own, which is loaded and run without any. The others have no verdict. */
        MERGED;

        /** As it is shown. */
        public String text() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /**
     * How far logits may be off that are computed with products in bf16 or tf32 and keys and values in bf16, as a part of the root mean square of a case's
     * logits. The reference cases' models are small and random, so that the largest of some thousand errors is what counts.
     */
    public static final double BF16 = 0.05;

    /**
     * Cases that are not held to {@link #BF16}, because rounding changes what they compute: adapters with random factors so large that attention is sharp and
     * shows the rounding of keys (they are off by 6 to 23 %), and experts that are chosen by scores as near to each other as the rounding is large.
     */
    private static final Set<String> BEYOND_ROUNDING = Set.of("hub-loreft-llama", "olora-llama", "randlora-llama", "ref-sparse-lora-llama", "waveft-llama",
            "lora-mixtral", "lora-experts-gate-mixtral");

    /** Log probabilities that are looked at where ids differ. */
    private static final int RIVALS = 20;

    private final Path root;
    private final Supplier<Kernels> kernels;
    private final double rounding;

    /**
     * @param root folder with {@code bases}, {@code adapters} and {@code cases}
     * @param kernels makes the kernels to verify; closed here
     */
    public Verifier(Path root, Supplier<Kernels> kernels) {
        this(root, kernels, 0);
    }

    /**
     * For kernels that round more than a case allows.
     *
     * @param rounding how far logits may be off instead, as a part of their root mean square; 0 to hold each case to its own tolerance. Where a greedy id
     *     differs, the reference's may be twice that below it, and what follows is not compared. Cases that rounding changes altogether are left out
     */
    public Verifier(Path root, Supplier<Kernels> kernels, double rounding) {
        this.root = root;
        this.kernels = kernels;
        this.rounding = rounding;
    }

    /**
     * Runs the cases whose names match a glob.
     *
     * @param modes at least one
     * @param progress hears each verdict as it falls
     * @return all verdicts
     * @throws IOException when the folder is not of this format; what is wrong with one case is that case's failure
     */
    public List<Verdict> run(String glob, Set<Mode> modes, Consumer<Verdict> progress) throws IOException {
        List<Verdict> verdicts = new ArrayList<>();
        Consumer<Verdict> tell = verdict -> {
            verdicts.add(verdict);
            progress.accept(verdict);
        };
        for (Map.Entry<String, List<ReferenceCase>> entry : cases(glob).entrySet()) {
            Path base = root.resolve("bases").resolve(entry.getKey());
            try (BaseUnderTest under = new BaseUnderTest(base, KV_BYTES)) {
                for (Mode mode : new TreeSet<>(modes)) {
                    if (mode == Mode.ALONE) {
                        for (ReferenceCase one : entry.getValue()) {
                            under.verify(List.of(one), mode, tell);
                        }
                    } else if (mode == Mode.MERGED) {
                        under.verifyMerged(entry.getValue(), tell);
                    } else {
                        under.verify(entry.getValue(), mode, tell);
                    }
                }
            } catch (IOException | IllegalArgumentException e) {
                for (ReferenceCase one : entry.getValue()) {
                    tell.accept(failed(one, Mode.ALONE, e.getMessage()));
                }
            }
        }
        return verdicts;
    }

    private Map<String, List<ReferenceCase>> cases(String glob) throws IOException {
        PathMatcher matcher = FileSystems.getDefault().getPathMatcher("glob:" + glob);
        Path folder = root.resolve("cases");
        if (!Files.isDirectory(folder)) {
            throw new IOException(root + " has no folder cases");
        }
        Map<String, List<ReferenceCase>> byBase = new TreeMap<>();
        try (Stream<Path> folders = Files.list(folder)) {
            for (Path path : folders.filter(p -> matcher.matches(p.getFileName())).sorted().toList()) {
                if (rounding > 0 && BEYOND_ROUNDING.contains(path.getFileName().toString())) {
                    continue;
                }
                ReferenceCase one = ReferenceCase.read(path);
                byBase.computeIfAbsent(one.base(), k -> new ArrayList<>()).add(one);
            }
        }
        if (byBase.isEmpty()) {
            throw new IOException(folder + " has no case that matches " + glob);
        }
        return byBase;
    }

    private static Verdict failed(ReferenceCase one, Mode mode, String why) {
        return new Verdict(one.name(), mode.text(), Double.NaN, one.absolute(), why);
    }

    /** How far a case's logits may be off: so much, and such a part of what they are. */
    private record Tolerance(double absolute, double relative) {}

    private Tolerance tolerance(ReferenceCase one, List<float[]> expected) {
        if (rounding == 0) {
            return new Tolerance(one.absolute(), one.relative());
        }
        double squares = 0;
        long count = 0;
        for (float[] logits : expected) {
            for (float logit : logits) {
                squares += (double) logit * logit;
            }
            count += logits.length;
        }
        return new Tolerance(rounding * Math.sqrt(squares / count), 0);
    }

    /** What was generated after each prompt, or why nothing was. */
    private record Greedy(List<List<TokenEvent>> outputs, String failure) {}

    /** A base with a device of its own for logits and an engine for greedy ids. */
    private final class BaseUnderTest implements AutoCloseable {
        private final Kernels device = kernels.get();
        private final Checkpoint checkpoint;
        private final BaseWeights weights;
        private final Engine engine;
        private final String name;
        private final Path made;

        /** @param kvBytes room for the requests that run at once */
        BaseUnderTest(Path folder, long kvBytes) throws IOException {
            name = folder.getFileName().toString();
            checkpoint = Checkpoint.open(folder);
            weights = new BaseWeights(device, checkpoint);
            made = Files.createTempDirectory("polyphon-verify");
            engine = Engine.open(EngineOptions.of(name, folder).withSteps(512, 512).withKv(kvBytes, BLOCK_SIZE).withQueueLimit(1 << 20)
                    .withAdapters(PoolOptions.of(ANY_BYTES)), kernels.get());
        }

        void verify(List<ReferenceCase> cases, Mode mode, Consumer<Verdict> tell) throws IOException {
            Map<ReferenceCase, LoadedAdapter> adapters = new LinkedHashMap<>();
            try {
                List<ReferenceCase> runnable = new ArrayList<>();
                for (ReferenceCase one : cases) {
                    try {
                        adapters.put(one, load(one));
                        runnable.add(one);
                    } catch (IOException e) {
                        tell.accept(failed(one, mode, e.getMessage()));
                    }
                }
                if (runnable.isEmpty()) {
                    return;
                }
                Map<ReferenceCase, List<float[]>> logits = logits(runnable, adapters);
                if (mode == Mode.RELOADED) {
                    registered(runnable).forEach(engine.adapters()::remove);
                }
                Map<ReferenceCase, Greedy> greedy = greedy(runnable);
                // Every mode loads its adapters again.
                registered(runnable).forEach(engine.adapters()::unload);
                for (ReferenceCase one : runnable) {
                    tell.accept(judge(one, mode, logits.get(one), greedy.get(one)));
                }
            } finally {
                adapters.values().forEach(adapter -> {
                    if (adapter != null) {
                        adapter.close();
                    }
                });
            }
        }

        void verifyMerged(List<ReferenceCase> cases, Consumer<Verdict> tell) {
            for (ReferenceCase one : cases) {
                try (LoadedAdapter adapter = load(one)) {
                    if (adapter != null && Fold.obstacles(adapter.weights()).isEmpty()) {
                        Path folder = made.resolve(one.name() + ".merged");
                        Merge.write(adapter.weights(), checkpoint, device, null, folder, OperationProgress.NONE);
                        try (BaseUnderTest merged = new BaseUnderTest(folder, KV_BYTES / 16)) {
                            merged.verify(List.of(one.ofBase()), Mode.MERGED, tell);
                        }
                    }
                } catch (IOException | IllegalArgumentException e) {
                    tell.accept(failed(one, Mode.MERGED, e.getMessage()));
                }
            }
        }

        private LoadedAdapter load(ReferenceCase one) throws IOException {
            if (one.combination() != null && !Files.exists(adapterFolder(one))) {
                combine(one.combination()).save(adapterFolder(one), checkpoint);
            }
            return one.adapter() == null ? null : AdapterFolder.open(adapterFolder(one)).load(one.name(), one.task(), checkpoint, device);
        }

        private LoraAdapter combine(ReferenceCase.Combination combination) throws IOException {
            List<Combine.Part> parts = new ArrayList<>();
            for (int i = 0; i < combination.weights().length; i++) {
                String adapter = combination.adapters().get(i);
                AdapterFolder folder = AdapterFolder.open(root.resolve("adapters").resolve(adapter));
                parts.add(new Combine.Part(adapter, folder.deltas(null, checkpoint, device, OperationProgress.NONE), combination.weights()[i]));
            }
            return Combine.of(parts, combination.options(), OperationProgress.NONE);
        }

        private Path adapterFolder(ReferenceCase one) {
            return one.combination() != null ? made.resolve(one.name()) : root.resolve("adapters").resolve(one.adapter());
        }

        /** Logits of every position of every prompt, all computed in one step. */
        private Map<ReferenceCase, List<float[]>> logits(List<ReferenceCase> cases, Map<ReferenceCase, LoadedAdapter> adapters) {
            ArchitectureSpec spec = checkpoint.spec();
            List<Work> plan = new ArrayList<>();
            int block = 0;
            for (ReferenceCase one : cases) {
                AdapterWeights adapter = adapters.get(one) == null ? null : adapters.get(one).weights();
                for (int[] prompt : one.prompts()) {
                    Sequence sequence = new Sequence(prompt, adapter);
                    while (sequence.blockCount() * BLOCK_SIZE < sequence.length()) {
                        sequence.addBlock(block++);
                    }
                    plan.add(new Work(sequence, sequence.computed(), sequence.pending()));
                }
            }
            StepRows step = StepRows.of(plan);
            int rows = step.batch().rows();
            int[] all = new int[rows];
            Arrays.setAll(all, i -> i);
            float[] out = new float[Math.multiplyExact(rows, spec.vocabulary())];
            try (Decoder decoder = new Decoder(device, spec, weights, rows, rows, spec.context());
                    KvCache cache = device.kvCache(spec.layers().size(), spec.kvHeads(), spec.headDim(), block, BLOCK_SIZE).openAll()) {
                for (Work work : plan) {
                    if (work.from() > 0) {
                        decoder.writePrefix((Prefix.KeysValues) work.sequence().adapter().prefix(), work.sequence().blocks(), cache);
                    }
                }
                decoder.forward(step.batch(), new AdapterPlan(step.segments()), cache, all, rows, out);
            }
            Map<ReferenceCase, List<float[]>> logits = new LinkedHashMap<>();
            int sequence = 0;
            for (ReferenceCase one : cases) {
                List<float[]> perPrompt = new ArrayList<>();
                for (int[] prompt : one.prompts()) {
                    int end = step.batch().firstRow()[++sequence];
                    perPrompt.add(Arrays.copyOfRange(out, (end - prompt.length) * spec.vocabulary(), end * spec.vocabulary()));
                }
                logits.put(one, perPrompt);
            }
            return logits;
        }

        private List<AdapterId> registered(List<ReferenceCase> cases) {
            return cases.stream().map(ReferenceCase::adapterName).flatMap(Optional::stream).distinct()
                    .filter(n -> engine.adapters().find(TENANT, n).isPresent()).map(AdapterId::shared).toList();
        }

        /** Greedy ids of every prompt, all requested at once. */
        private Map<ReferenceCase, Greedy> greedy(List<ReferenceCase> cases) {
            Map<ReferenceCase, List<CompletableFuture<List<TokenEvent>>>> running = new LinkedHashMap<>();
            for (ReferenceCase one : cases) {
                List<AdapterWeight> adapter = one.adapterName().map(n -> List.of(new AdapterWeight(n, 1, one.task()))).orElse(List.of());
                if (one.adapter() != null && engine.adapters().find(TENANT, one.adapter()).isEmpty()) {
                    engine.adapters().register(AdapterRegistration.folder(one.adapter(), name, adapterFolder(one)));
                }
                List<CompletableFuture<List<TokenEvent>>> outputs = new ArrayList<>();
                for (int i = 0; i < one.prompts().length; i++) {
                    Sampling sampling = Sampling.builder().temperature(0).maxTokens(one.greedy()[i].length).ignoreEos(true)
                            .logprobs(rounding == 0 ? -1 : RIVALS).build();
                    CollectingSink sink = new CollectingSink();
                    engine.generate(new GenerationRequest(one.name(), TENANT, name, adapter, new Prompt.Tokens(one.prompts()[i]), sampling, 1),
                            sink);
                    outputs.add(sink.tokens());
                }
                running.put(one, outputs);
            }
            Map<ReferenceCase, Greedy> greedy = new LinkedHashMap<>();
            running.forEach((one, outputs) -> {
                try {
                    greedy.put(one, new Greedy(outputs.stream().map(CompletableFuture::join).toList(), null));
                } catch (CompletionException e) {
                    greedy.put(one, new Greedy(null, e.getCause().getMessage()));
                }
            });
            return greedy;
        }

        @Override
        public void close() {
            engine.close();
            delete(made);
            weights.close();
            checkpoint.close();
            device.close();
        }
    }

    private static void delete(Path folder) {
        try (Stream<Path> files = Files.walk(folder)) {
            files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private Verdict judge(ReferenceCase one, Mode mode, List<float[]> logits, Greedy greedy) throws IOException {
        List<float[]> expected = one.expected();
        double worst = -1;
        double error = 0;
        Tolerance tolerance = tolerance(one, expected);
        double allowed = tolerance.absolute;
        for (int i = 0; i < expected.size(); i++) {
            float[] want = expected.get(i);
            float[] got = logits.get(i);
            if (want.length != got.length) {
                return failed(one, mode, "prompt " + i + " has " + got.length + " logits, expected " + want.length);
            }
            for (int j = 0; j < want.length; j++) {
                double difference = Math.abs((double) want[j] - got[j]);
                double most = tolerance.absolute + tolerance.relative * Math.abs(want[j]);
                if (!(difference / most <= worst)) {
                    worst = difference / most;
                    error = difference;
                    allowed = most;
                }
            }
        }
        String failure = null;
        if (!(worst <= 1)) {
            failure = "a logit is off by " + error + ", allowed " + allowed;
        } else if (greedy.failure != null) {
            failure = greedy.failure;
        } else {
            for (int i = 0; i < greedy.outputs.size() && failure == null; i++) {
                List<TokenEvent> output = greedy.outputs.get(i);
                int[] ids = output.stream().mapToInt(TokenEvent::token).toArray();
                int[] wanted = one.greedy()[i];
                int different = Arrays.mismatch(ids, wanted);
                if (different >= 0 && (Math.min(ids.length, wanted.length) == different || !tied(tolerance, output.get(different), wanted[different]))) {
                    failure = "greedy ids of prompt " + i + " are " + Arrays.toString(ids) + ", expected " + Arrays.toString(wanted);
                }
            }
        }
        return new Verdict(one.name(), mode.text(), error, allowed, failure);
    }

    /** Whether rounding may have put one token before another. */
    private boolean tied(Tolerance tolerance, TokenEvent chosen, int wanted) {
        return rounding > 0 && chosen.logprobs().top().stream().anyMatch(rival -> rival.token() == wanted
                && chosen.logprobs().chosen().logprob() - rival.logprob() <= 2 * tolerance.absolute);
    }

    /** Gathers one request's tokens. */
    private static final class CollectingSink implements dev.polyphon.runtime.TokenSink {
        private final List<TokenEvent> events = new ArrayList<>();
        private final CompletableFuture<List<TokenEvent>> done = new CompletableFuture<>();

        CompletableFuture<List<TokenEvent>> tokens() {
            return done;
        }

        @Override
        public void started(int promptTokens, int cachedTokens) {}

        @Override
        public void token(TokenEvent event) {
            events.add(event);
        }

        @Override
        public void finished(int choice, String text, dev.polyphon.runtime.FinishReason reason, int generatedTokens) {
            done.complete(events);
        }

        @Override
        public void failed(RuntimeFault fault) {
            done.completeExceptionally(fault);
        }
    }
}
