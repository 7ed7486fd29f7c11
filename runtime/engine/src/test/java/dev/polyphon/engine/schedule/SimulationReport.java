package dev.polyphon.engine.schedule;

import dev.polyphon.engine.schedule.Simulation.End;
import dev.polyphon.engine.schedule.Simulation.Fate;
import dev.polyphon.engine.schedule.Simulation.Outcome;
import dev.polyphon.engine.schedule.Simulation.Server;
import dev.polyphon.runtime.Scheduling;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/** Writes the tables and plots of docs/scheduling.md: {@code SimulationReport FOLDER [TRACE]}, with the trace for a table of a recorded load instead. */
final class SimulationReport {
    private static final Server SERVER = new Server(new Simulation.Machine(6, 2, 0.1), new Scheduler.Limits(64, 128, 32), 728, 100_000,
            SchedulePolicy.DEFAULT.withTokenTime(Duration.ofMillis(200)));
    private static final Server FIFO = SERVER.with(SERVER.policy().withFairness(Fairness.NONE));
    private static final Predicate<Fate> NOISY = f -> f.arrival().scheduling().tenant().equals("t0");
    private static final int TENANTS = 200;
    private static final double RATE = 1.5;

    private SimulationReport() {}

    private static List<Arrival> load(double noise) {
        return new Trace.Load(1, 1200, TENANTS, RATE, noise, 10_000, 1, 48).make();
    }

    public static void main(String[] arguments) throws IOException {
        Path folder = Path.of(arguments[0]);
        if (arguments.length > 1) {
            header("", "all: first token p50", "p99");
            row("fair", Simulation.run(SERVER, Trace.read(Path.of(arguments[1]))), f -> true);
            row("first come, first served", Simulation.run(FIFO, Trace.read(Path.of(arguments[1]))), f -> true);
            return;
        }
        noise(folder);
        chunks();
        blocks();
        prefixes();
        clusters();
        shares();
    }

    private static void noise(Path folder) throws IOException {
        Outcome quiet = Simulation.run(SERVER, load(1));
        Outcome fair = Simulation.run(SERVER, load(100));
        Outcome fifo = Simulation.run(FIFO, load(100));
        header("", "others: first token p50", "p99", "neighbour: p50", "p99", "all done after");
        row("without the neighbour, fair", quiet, NOISY.negate(), NOISY);
        row("fair", fair, NOISY.negate(), NOISY);
        row("first come, first served", fifo, NOISY.negate(), NOISY);
        new Plot("90 % of a tenant's first tokens come within", "tenants, each line in its own order", "seconds")
                .line("fair", byTenant(fair)).line("first come, first served", byTenant(fifo)).line("fair, no noisy neighbour", byTenant(quiet))
                .write(folder.resolve("first-token-by-tenant.svg"));
        new Plot("First tokens of all but the noisy neighbour: 90 % within", "seconds since the beginning", "seconds")
                .line("fair", overTime(fair)).line("first come, first served", overTime(fifo)).line("fair, no noisy neighbour", overTime(quiet))
                .write(folder.resolve("first-token-over-time.svg"));
    }

    private static void chunks() {
        header("tokenTime", "time per token p50", "p99", "first token p50", "p99", "all done after");
        List<Arrival> trace = load(1);
        for (int millis : new int[] {0, 400, 200, 100, 50}) {
            Outcome outcome = Simulation.run(SERVER.with(SERVER.policy().withTokenTime(millis == 0 ? null : Duration.ofMillis(millis))), trace);
            cells(millis == 0 ? "0s" : millis + "ms", seconds(Simulation.quantile(outcome.gaps(), 0.5)), seconds(Simulation.quantile(outcome.gaps(), 0.99)),
                    first(outcome, f -> true, 0.5), first(outcome, f -> true, 0.99), seconds(outcome.seconds()));
        }
    }

    /** With the neighbour, on a machine on which each adapter in a step takes as long as a row. */
    private static void clusters() {
        header("clusterTime", "adapters in a step", "others: first token p50", "p99", "neighbour: p50", "p99", "all done after");
        List<Arrival> trace = load(100);
        Server dear = new Server(new Simulation.Machine(6, 2, 2), SERVER.limits(), SERVER.blocks(), SERVER.queueLimit(), SERVER.policy());
        for (int seconds : new int[] {0, 1, 5, 20}) {
            Outcome outcome = Simulation.run(dear.with(SERVER.policy().withClusterTime(seconds == 0 ? null : Duration.ofSeconds(seconds))), trace);
            row(seconds + "s | %.1f".formatted(outcome.adapters()), outcome, NOISY.negate(), NOISY);
        }
    }

    /** With the neighbour. */
    private static void blocks() {
        header("KV blocks of 32", "preemptions", "of requests", "others: first token p50", "p99", "all done after");
        List<Arrival> trace = load(100);
        for (int blocks : new int[] {728, 364, 182, 91}) {
            Outcome outcome = Simulation.run(SERVER.with(blocks), trace);
            cells(Integer.toString(blocks), Integer.toString(outcome.preemptions()), Integer.toString(trace.size()), first(outcome, NOISY.negate(), 0.5),
                    first(outcome, NOISY.negate(), 0.99), seconds(outcome.seconds()));
        }
    }

    private static void prefixes() {
        header("Zipf", "KV blocks of 32", "tokens of prompts found", "first token p50", "p99");
        for (double zipf : new double[] {0.8, 1, 1.2}) {
            List<Arrival> trace = new Trace.Load(1, 1200, TENANTS, 0.9, 1, 2000, zipf, 256).make();
            for (int blocks : new int[] {0, 728, 2912, 11_648}) {
                Outcome outcome = Simulation.run(blocks > 0 ? SERVER.with(blocks) : SERVER.with(SERVER.policy().withPrefixCache(PrefixSharing.OFF)), trace);
                double found = outcome.fates().stream().mapToInt(Fate::cached).sum();
                double all = outcome.fates().stream().mapToInt(f -> f.arrival().prompt().length).sum();
                cells(Double.toString(zipf), blocks == 0 ? "no prefix cache" : Integer.toString(blocks), "%.0f %%".formatted(100 * found / all),
                        first(outcome, f -> true, 0.5), first(outcome, f -> true, 0.99));
            }
        }
    }

    /** Three tenants that send more than the machine can do, of shares 1, 2 and 4. */
    private static void shares() {
        List<Arrival> trace = new ArrayList<>();
        for (Arrival a : new Trace.Load(1, 300, 3, 12, 1, 30, 1, 48).make()) {
            String tenant = a.scheduling().tenant();
            trace.add(new Arrival(a.time(), a.scheduling().withShare(1 << Integer.parseInt(tenant.substring(1))), a.adapter(), a.prompt(), a.output()));
        }
        Outcome outcome = Simulation.run(SERVER.with(SERVER.policy().withMaxWait(Duration.ofSeconds(60))), trace);
        Map<Scheduling, Integer> service = new TreeMap<>(java.util.Comparator.comparingDouble(Scheduling::share));
        for (Fate fate : outcome.fates()) {
            if (fate.end() == End.DONE && fate.arrival().time() + fate.total() * Arrival.SECOND < 300.0 * Arrival.SECOND) {
                service.merge(fate.arrival().scheduling(), fate.arrival().prompt().length - fate.cached() + 2 * fate.arrival().output(), Integer::sum);
            }
        }
        header("share", "priced tokens", "over share");
        service.forEach((scheduling, tokens) -> cells("%.0f".formatted(scheduling.share()), Integer.toString(tokens), "%.0f".formatted(tokens / scheduling.share())));
    }

    private static List<double[]> byTenant(Outcome outcome) {
        Map<String, List<Double>> firsts = outcome.fates().stream()
                .collect(Collectors.groupingBy(f -> f.arrival().scheduling().tenant(), TreeMap::new, Collectors.mapping(Fate::first, Collectors.toList())));
        double[] sorted = firsts.values().stream().mapToDouble(values -> Simulation.quantile(values, 0.9)).sorted().toArray();
        List<double[]> points = new ArrayList<>();
        for (int i = 0; i < sorted.length; i++) {
            points.add(new double[] {i + 1, sorted[i]});
        }
        return points;
    }

    private static List<double[]> overTime(Outcome outcome) {
        int window = 30;
        Map<Integer, List<Double>> firsts = outcome.fates().stream().filter(NOISY.negate())
                .collect(Collectors.groupingBy(f -> (int) (f.arrival().time() / Arrival.SECOND / window), TreeMap::new, Collectors.mapping(Fate::first, Collectors.toList())));
        List<double[]> points = new ArrayList<>();
        firsts.forEach((at, values) -> points.add(new double[] {at * window, Simulation.quantile(values, 0.9)}));
        return points;
    }

    @SafeVarargs
    private static void row(String name, Outcome outcome, Predicate<Fate>... groups) {
        List<String> cells = new ArrayList<>(List.of(name));
        for (Predicate<Fate> group : groups) {
            cells.add(first(outcome, group, 0.5));
            cells.add(first(outcome, group, 0.99));
        }
        cells.add(seconds(outcome.seconds()));
        cells(cells.toArray(String[]::new));
    }

    private static String first(Outcome outcome, Predicate<Fate> group, double part) {
        return seconds(Simulation.quantile(outcome.fates().stream().filter(group).map(Fate::first).filter(Double::isFinite).toList(), part));
    }

    private static String seconds(double value) {
        return Double.isNaN(value) ? "-" : value < 10 ? "%.2f s".formatted(value) : "%.0f s".formatted(value);
    }

    private static void header(String... names) {
        System.out.println();
        cells(names);
        System.out.println("|---".repeat(names.length) + "|");
    }

    private static void cells(String... cells) {
        System.out.println("| " + String.join(" | ", cells) + " |");
    }
}
