package dev.polyphon.measure.kernels;

import dev.polyphon.engine.backend.cpu.MachineLimits;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.NoBenchmarksException;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;
import org.openjdk.jmh.util.Statistics;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon measure kernels}: runs the benchmarks and sets their rates beside the machine's limits. */
@Command(name = "kernels", description = "JMH benchmarks of every CPU kernel beside the machine's limits, as a table.", mixinStandardHelpOptions = true,
        sortOptions = false)
public final class KernelTable implements Callable<Integer> {
    private static final List<Class<?>> BENCHMARKS = List.of(LinearBenchmark.class, LowRankBenchmark.class, AttentionBenchmark.class,
            PointwiseBenchmark.class, SamplingBenchmark.class);
    private static final int ITERATIONS = 6;
    private static final double LIMIT_SECONDS = 2.4;
    private static final String ROW = "| %-52s | %9s | %9s | %8s | %6s | %8s | %6s |%n";

    @Parameters(arity = "0..*", paramLabel = "NAME", description = "Benchmarks whose names hold one of these, for example Linear or attention; without, all.")
    private List<String> names = List.of();

    @Option(names = "--device", paramLabel = "DEVICE", split = ",", description = "cpu, cpu:vector, or both (default: both).")
    private List<String> devices = List.of("cpu", "cpu:vector");

    @Option(names = "--threads", paramLabel = "N", description = "Computing threads (default: one per processor).")
    private int threads = Runtime.getRuntime().availableProcessors();

    @Option(names = "-p", paramLabel = "NAME=VALUES", split = ";", description = "Only these values of a parameter: -p rows=1,16 -p type=Q8_0.")
    private Map<String, String> params = Map.of();

    @Option(names = "--seconds", paramLabel = "S", description = "Time to measure one benchmark (default: ${DEFAULT-VALUE}).")
    private double seconds = 1.2;

    @Option(names = "--warmup", paramLabel = "S", description = "Time for Java to compile it, before (default: ${DEFAULT-VALUE}).")
    private double warmup = 3;

    @Override
    public Integer call() throws RunnerException {
        Limits limits = limits();
        System.out.printf(Locale.ROOT, ROW, "kernel", "µs median", "µs best", "GB/s", "%", "GMAC/s", "%");
        System.out.println("|" + "---|".repeat(7));
        for (Class<?> benchmark : BENCHMARKS) {
            for (RunResult result : run(benchmark.getSimpleName() + "\\.", names, 1, warmup, seconds, benchmark != SamplingBenchmark.class)) {
                print(result, limits);
            }
        }
        return 0;
    }

    /** @param words GMAC/s of 16-bit integers; 0 where the kernels do not use them */
    private record Limits(double read, double floats, double words) {}

    private Limits limits() throws RunnerException {
        Map<String, Double> best = new TreeMap<>();
        List<String> usable = MachineLimits.machineCode() ? List.of() : List.of("read", "floats");
        for (RunResult result : run("LimitBenchmark\\.", usable.stream().map(n -> n + "$").toList(), threads, 1, LIMIT_SECONDS, false)) {
            String name = name(result);
            Statistics rate = rate(result, name.startsWith("read") ? "gigabytes" : "gigamacs");
            System.out.printf(Locale.ROOT, "limit %-13s median %7.1f, best %7.1f %s%n", name, rate.getPercentile(50), rate.getMax(),
                    name.startsWith("read") ? "GB/s" : "GMAC/s");
            // Not the best: while one thread is held up, the other one's share of the memory counts as if both had it.
            best.merge(name.replace("ByCode", ""), rate.getPercentile(50), Math::max);
        }
        System.out.println();
        return new Limits(best.get("read"), best.get("floats"), best.getOrDefault("words", 0.0));
    }

    private List<RunResult> run(String pattern, List<String> wanted, int runners, double warmupSeconds, double measuredSeconds, boolean onDevices) throws RunnerException {
        OptionsBuilder options = new OptionsBuilder();
        if (wanted.isEmpty()) {
            options.include(pattern);
        }
        for (String name : wanted) {
            options.include("(?i)(?=.*\\." + pattern + ").*" + name);
        }
        params.forEach((name, values) -> options.param(name, values.split(",")));
        if (onDevices) {
            options.param("device", devices.toArray(String[]::new)).param("threads", Integer.toString(threads));
        }
        options.verbosity(VerboseMode.SILENT).forks(1).threads(runners).warmupIterations(1).warmupTime(TimeValue.milliseconds((long) (1000 * warmupSeconds)))
                .measurementIterations(ITERATIONS).measurementTime(TimeValue.milliseconds((long) (1000 * measuredSeconds / ITERATIONS)));
        try {
            return new ArrayList<>(new Runner(options.build()).run());
        } catch (NoBenchmarksException e) {
            return List.of();
        }
    }

    private static void print(RunResult result, Limits limits) {
        Map<String, String> values = new TreeMap<>();
        result.getParams().getParamsKeys().forEach(key -> values.put(key, result.getParams().getParam(key)));
        boolean words = limits.words > 0 && "cpu".equals(values.get("device")) && values.getOrDefault("type", "").startsWith("Q");
        values.remove("threads");
        String label = name(result) + values.entrySet().stream().map(e -> ", " + (e.getKey().equals("device") ? "" : e.getKey() + " ") + e.getValue())
                .collect(Collectors.joining());
        Statistics calls = result.getPrimaryResult().getStatistics();
        double bytes = rate(result, "gigabytes").getMax();
        double macs = rate(result, "gigamacs").getMax();
        System.out.printf(Locale.ROOT, ROW, label, number(1e6 / calls.getPercentile(50)), number(1e6 / calls.getMax()), number(bytes),
                percent(bytes, limits.read), macs == 0 ? "" : number(macs), macs == 0 ? "" : percent(macs, words ? limits.words : limits.floats));
    }

    private static String name(RunResult result) {
        String name = result.getParams().getBenchmark();
        return name.substring(name.lastIndexOf('.') + 1);
    }

    private static Statistics rate(RunResult result, String counter) {
        Result<?> rate = result.getSecondaryResults().get(counter);
        return rate.getStatistics();
    }

    private static String number(double value) {
        return String.format(Locale.ROOT, "%.1f", value);
    }

    private static String percent(double value, double limit) {
        return String.format(Locale.ROOT, "%.0f", 100 * value / limit);
    }
}
