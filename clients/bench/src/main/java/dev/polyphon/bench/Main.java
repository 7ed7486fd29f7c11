package dev.polyphon.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon bench}. */
@Command(
        name = "polyphon bench",
        description = "Puts load on a server with the OpenAI completions API, and reports its rates and times.",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        exitCodeListHeading = "%nExit status:%n",
        exitCodeList = {"0:every request was answered", "1:some failed", "2:wrong usage, or no server"})
public final class Main implements Callable<Integer> {
    static {
        // A server may close a kept connection just when it is taken again: the request was not read then, and is sent once more.
        System.setProperty("jdk.httpclient.enableAllMethodRetry", "true");
    }

    private final PrintStream out;
    private final PrintStream err;

    @Parameters(paramLabel = "URL", defaultValue = "${POLYPHON_URL:-http://127.0.0.1:8000}",
            description = "The server; POLYPHON_URL names it too (default: ${DEFAULT-VALUE}).")
    private URI url;

    @Option(names = "--workload", paramLabel = "NAMES", split = ",", description = "W1, W2, W3, W3b, W4, W5, W6, or all; without it the options below make one.")
    private List<String> names = List.of();

    @Option(names = "--base", paramLabel = "MODEL", description = "What the server calls its base (default: the first model without a parent).")
    private String base;

    @Option(names = "--adapters", paramLabel = "N|NAMES", description = "How many adapters take turns, or their names (default: ${DEFAULT-VALUE}).")
    private String adapters = "0";

    @Option(names = "--adapter-field", paramLabel = "FIELD", description = "How a request names its adapter: ${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE}).")
    private AdapterField field = AdapterField.MODEL;

    @Option(names = "--concurrency", paramLabel = "N", description = "Requests under way at once (default: ${DEFAULT-VALUE}).")
    private int concurrency = 16;

    @Option(names = "--requests", paramLabel = "N", description = "Requests in all (default: ${DEFAULT-VALUE}).")
    private int requests = 64;

    @Option(names = "--rate", paramLabel = "R", description = "Open loop: R requests a second at random moments, however many are under way.")
    private double rate;

    @Option(names = "--zipf", paramLabel = "A", description = "Adapters by Zipf's law with this exponent instead of in turn.")
    private double zipf;

    @Option(names = "--prompt-tokens", paramLabel = "N", description = "Words of a prompt (default: ${DEFAULT-VALUE}).")
    private int promptTokens = 64;

    @Option(names = "--gen", paramLabel = "N", description = "Tokens to generate (default: ${DEFAULT-VALUE}).")
    private int newTokens = 64;

    @Option(names = "--warmup", paramLabel = "N", description = "Requests of each workload before it is measured (default: ${DEFAULT-VALUE}).")
    private int warmup = 32;

    @Option(names = "--seed", paramLabel = "N", description = "Of prompts, popularity and arrivals (default: ${DEFAULT-VALUE}).")
    private long seed;

    @Option(names = "--key", paramLabel = "KEY", defaultValue = "${POLYPHON_API_KEY}", description = "API key, sent as a bearer token; better given as POLYPHON_API_KEY.")
    private String key;

    @Option(names = "--timeout", paramLabel = "SECONDS", description = "Time for an answer to begin (default: ${DEFAULT-VALUE}).")
    private int timeout = 240;

    @Option(names = "--json", paramLabel = "FILE", description = "Writes the reports as JSON, too.")
    private Path json;

    Main(PrintStream out, PrintStream err) {
        this.out = out;
        this.err = err;
    }

    public static void main(String[] args) {
        System.exit(run(System.out, System.err, args));
    }

    static int run(PrintStream out, PrintStream err, String... args) {
        return new CommandLine(new Main(out, err))
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setExecutionExceptionHandler((e, command, parsed) -> {
                    err.println("polyphon bench: " + (e instanceof IllegalArgumentException || e.getMessage() != null ? e.getMessage() : e.toString()));
                    return 2;
                })
                .execute(args);
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        List<Workload> workloads = workloads();
        try (var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(10)).build()) {
            Target target = new Target(client, url, key == null || key.isEmpty() ? null : key, Duration.ofSeconds(timeout));
            List<Target.Model> models = models(target);
            String model = base != null ? base : models.stream().filter(m -> m.parent() == null).map(Target.Model::id).findFirst().orElse("base");
            List<String> known = adapters.matches("\\d+")
                    ? models.stream().filter(m -> m.parent() != null).map(Target.Model::id).toList()
                    : List.of(adapters.split(","));
            var load = new Load(target, model, known, field, seed);
            List<Report> reports = new ArrayList<>();
            out.println(Report.HEADER);
            for (Workload workload : workloads) {
                if (warmup > 0) {
                    load.run(new Workload(workload.name(), "", workload.adapters(), Math.min(warmup, 16), warmup, 0, 0, workload.promptTokens(),
                            Math.min(16, workload.newTokens())));
                }
                Report report = load.run(workload);
                out.println(report.line());
                reports.add(report);
            }
            if (json != null) {
                Files.writeString(json, new ObjectMapper().writerWithDefaultPrettyPrinter()
                        .writeValueAsString(reports.stream().map(Report::json).toList()));
            }
            return reports.stream().allMatch(r -> r.errors() == 0) ? 0 : 1;
        }
    }

    private List<Target.Model> models(Target target) throws IOException, InterruptedException {
        try {
            return target.models();
        } catch (IOException e) {
            throw new IOException("no answer from " + url + ": " + (e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage()), e);
        }
    }

    private List<Workload> workloads() {
        if (names.isEmpty()) {
            int count = adapters.matches("\\d+") ? Integer.parseInt(adapters) : adapters.split(",").length;
            return List.of(new Workload("own", "", count, concurrency, requests, rate, zipf, promptTokens, newTokens));
        }
        List<Workload> workloads = new ArrayList<>();
        for (String name : names) {
            List<Workload> found = Workload.PRESETS.stream().filter(w -> name.equals("all") || w.name().equalsIgnoreCase(name)).toList();
            if (found.isEmpty()) {
                throw new IllegalArgumentException("--workload " + name + ": there are "
                        + String.join(", ", Workload.PRESETS.stream().map(Workload::name).toList()) + " and all");
            }
            workloads.addAll(found);
        }
        return workloads;
    }
}
