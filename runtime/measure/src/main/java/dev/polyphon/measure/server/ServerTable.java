package dev.polyphon.measure.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.model.ArchitectureSpec;
import dev.polyphon.engine.model.Checkpoint;
import dev.polyphon.engine.model.Module;
import dev.polyphon.engine.model.Site;
import dev.polyphon.engine.weights.DType;
import dev.polyphon.measure.random.AdapterFamily;
import dev.polyphon.measure.random.MakeAdapters;
import dev.polyphon.measure.random.Temporary;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon measure server}: starts the server with each model, and reports its speed under the load generator's workloads, its start and its memory. */
@Command(name = "server", mixinStandardHelpOptions = true, sortOptions = false,
        description = "Serves each model with random adapters, runs the load generator's workloads against it, and prints speed, start and memory as a table.")
public final class ServerTable implements Callable<Integer> {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final double MIB = 1 << 20;
    /** Positions of a block of keys and values. */
    private static final int BLOCK = 32;

    @Parameters(arity = "1..*", paramLabel = "MODEL", description = "GGUF files or Hugging Face folders.")
    private List<Path> models;

    @Option(names = "--workload", paramLabel = "NAMES", description = "Of the load generator (default: ${DEFAULT-VALUE}).")
    private String workloads = "W1,W2,W3,W3b,W4,W6";

    @Option(names = "--threads", paramLabel = "N", split = ",", description = "Computing threads; several for a column each (default: one per processor).")
    private List<Integer> threads = List.of(Runtime.getRuntime().availableProcessors());

    @Option(names = "--runs", paramLabel = "N", description = "How often the workloads are run; the best and the median are shown (default: ${DEFAULT-VALUE}).")
    private int runs = 1;

    @Option(names = "--adapters", paramLabel = "N", description = "Random LoRAs on all linear layers; at least 16 for W4 (default: ${DEFAULT-VALUE}).")
    private int adapters = 16;

    @Option(names = "--rank", paramLabel = "R", description = "Their rank (default: ${DEFAULT-VALUE}).")
    private int rank = 16;

    @Option(names = "--adapter-type", paramLabel = "TYPE", description = "How they are stored: F32, F16 or BF16 (default: ${DEFAULT-VALUE}).")
    private DType adapterType = DType.F16;

    @Option(names = "--first-seconds", paramLabel = "N", description = "Time to watch the speed right after the start (default: ${DEFAULT-VALUE}).")
    private int firstSeconds = 12;

    @Option(names = "--serve-option", paramLabel = "OPTION", description = "One more option of polyphon serve, for example --serve-option=--device=cpu:vector.")
    private List<String> serveOptions = List.of();

    private final Path home = Path.of(System.getProperty("polyphon.home", ".")).toAbsolutePath();

    @Override
    public Integer call() throws IOException, InterruptedException {
        // Builds what has changed, so that it is not built when the start is timed.
        launch("serve", "--help");
        launch("bench", "--help");
        List<Map<String, String>> columns = new ArrayList<>();
        for (Path model : models) {
            try (Temporary folder = new Temporary()) {
                MakeAdapters.write(model, folder.path(), adapters, AdapterFamily.LORA, rank, adapterType);
                for (int n : threads) {
                    columns.add(column(model, folder.path(), n));
                }
            }
        }
        print(columns);
        return 0;
    }

    private Map<String, String> column(Path model, Path folder, int n) throws IOException, InterruptedException {
        Map<String, String> column = new LinkedHashMap<>();
        column.put("", model.getFileName().toString().replaceAll("\\.gguf$", "") + ", " + n + (n == 1 ? " thread" : " threads"));
        List<String> options = new ArrayList<>(List.of("--base", model.toString(), "--adapters", folder.toString(), "--threads", Integer.toString(n),
                "--set", "engine.blockSize=" + BLOCK, "--set", "engine.adapterBytes=4GiB"));
        options.addAll(serveOptions);
        try (ServerProcess server = new ServerProcess(home, options)) {
            column.put("ready after, s", number(server.readySeconds()));
            if (firstSeconds > 0) {
                int[] each = FirstSeconds.run(server.root(), base(server.root()), firstSeconds);
                column.put("first seconds under 16 streams, tokens/s", Arrays.stream(each).mapToObj(Integer::toString).collect(Collectors.joining(" ")));
            }
            if (!workloads.isEmpty()) {
                speed(column, server.root());
            }
            memory(column, server, model, folder);
        }
        return column;
    }

    private void speed(Map<String, String> column, URI root) throws IOException, InterruptedException {
        Map<String, List<Double>> times = new LinkedHashMap<>();
        for (int run = 0; run < runs; run++) {
            Path json = Files.createTempFile("polyphon-bench", ".json");
            try {
                launch("bench", root.toString(), "--workload", workloads, "--warmup", run == 0 ? "32" : "0", "--json", json.toString());
                for (JsonNode report : JSON.readTree(json.toFile())) {
                    String name = report.path("workload").path("name").asText();
                    if (report.path("errors").asInt() > 0) {
                        throw new IOException(name + ": " + report.path("first_error").asText());
                    }
                    times.computeIfAbsent(name, _ -> new ArrayList<>()).add(switch (name) {
                        case "W1", "W2" -> report.path("tpot_ms").path("p50").asDouble();
                        case "W6" -> report.path("ttft_ms").path("p50").asDouble();
                        default -> report.path("tokens_per_second").asDouble();
                    });
                }
            } finally {
                Files.delete(json);
            }
        }
        times.forEach((name, values) -> column.put(title(name), summary(values, title(name).endsWith("ms"))));
        ratio(column, "W1 / W2", times.get("W1"), times.get("W2"));
        ratio(column, "W3b / W3", times.get("W3b"), times.get("W3"));
        ratio(column, "W4 / W3", times.get("W4"), times.get("W3"));
    }

    private static String title(String workload) {
        return switch (workload) {
            case "W1" -> "W1 base, one stream, ms";
            case "W2" -> "W2 one adapter, one stream, ms";
            case "W3" -> "W3 base, 16 at once, tokens/s";
            case "W3b" -> "W3b one adapter, 16 at once, tokens/s";
            case "W4" -> "W4 16 adapters, 16 at once, tokens/s";
            case "W6" -> "W6 first token after 512, ms";
            default -> workload + ", tokens/s";
        };
    }

    private static String summary(List<Double> values, boolean times) {
        double[] sorted = values.stream().mapToDouble(Double::doubleValue).sorted().toArray();
        double best = times ? sorted[0] : sorted[sorted.length - 1];
        return sorted.length == 1 ? number(best) : number(best) + " (" + number(sorted[sorted.length / 2]) + ")";
    }

    private static void ratio(Map<String, String> column, String title, List<Double> a, List<Double> b) {
        if (a != null && b != null) {
            List<Double> ratios = new ArrayList<>();
            for (int i = 0; i < a.size(); i++) {
                ratios.add(a.get(i) / b.get(i));
            }
            ratios.sort(null);
            column.put(title, String.format(Locale.ROOT, "%.2f", ratios.get(ratios.size() / 2)));
        }
    }

    /** Memory after the workloads, then with all adapters loaded. */
    private void memory(Map<String, String> column, ServerProcess server, Path model, Path folder) throws IOException, InterruptedException {
        long weights = bytes(model);
        double kv = (server.metric("polyphon_kv_blocks_used", "") + server.metric("polyphon_kv_blocks_cached", "")) * blockBytes(model);
        double before = adapterBytes(server);
        double rss = server.status("VmRSS");
        column.put("weights, MiB", mebibytes(weights));
        column.put("keys and values in use, MiB", mebibytes(kv));
        column.put("adapters in memory, MiB", mebibytes(before));
        column.put("resident, MiB (of files)", mebibytes(rss) + " (" + mebibytes(server.status("RssFile")) + ")");
        column.put("resident beyond these, MiB", mebibytes(rss - weights - kv - before));
        column.put("Java's heap, MiB", mebibytes(server.metric("jvm_memory_committed_bytes", "area=\"heap\"")));
        loadAll(server.root());
        column.put(adapters + " adapters on disk, MiB", mebibytes(bytes(folder)));
        column.put(adapters + " adapters where they compute, MiB", mebibytes(server.metric("polyphon_adapters_loaded_bytes", "")));
        column.put("and in the host tier, MiB", mebibytes(server.metric("polyphon_adapter_tier_bytes", "tier=\"host\"")));
        column.put("resident grew by loading them by, MiB", mebibytes(server.status("VmRSS") - rss) + " for " + mebibytes(adapterBytes(server) - before));
    }

    private static long blockBytes(Path model) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(model); CpuKernels kernels = CpuKernels.open(1)) {
            ArchitectureSpec spec = checkpoint.spec();
            DType type = kernels.kvType(checkpoint.required(new Site(0, Module.K)).weight().dtype());
            return 2L * spec.layers().size() * type.bytes(spec.kvWidth() * BLOCK);
        }
    }

    private static double adapterBytes(ServerProcess server) throws IOException, InterruptedException {
        return server.metric("polyphon_adapters_loaded_bytes", "") + server.metric("polyphon_adapter_tier_bytes", "tier=\"host\"");
    }

    private void loadAll(URI root) throws IOException, InterruptedException {
        try (HttpClient client = HttpClient.newHttpClient()) {
            for (int i = 0; i < adapters; i++) {
                String body = String.format(Locale.ROOT, "{\"model\": \"a%02d\", \"prompt\": \"Hello\", \"max_tokens\": 1}", i);
                HttpResponse<String> answer = client.send(HttpRequest.newBuilder(root.resolve("/v1/completions")).header("Content-Type", "application/json")
                        .POST(HttpRequest.BodyPublishers.ofString(body)).build(), HttpResponse.BodyHandlers.ofString());
                if (answer.statusCode() != 200) {
                    throw new IOException("the server answers " + answer.statusCode() + ": " + answer.body());
                }
            }
        }
    }

    private static String base(URI root) throws IOException, InterruptedException {
        try (HttpClient client = HttpClient.newHttpClient()) {
            String list = client.send(HttpRequest.newBuilder(root.resolve("/v1/models")).build(), HttpResponse.BodyHandlers.ofString()).body();
            for (JsonNode model : JSON.readTree(list).path("data")) {
                if (model.path("parent").isNull() || model.path("parent").isMissingNode()) {
                    return model.path("id").asText();
                }
            }
        }
        throw new IOException("the server lists no base");
    }

    private void launch(String... arguments) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(home.resolve("polyphon").toString()));
        command.addAll(List.of(arguments));
        boolean asked = arguments[arguments.length - 1].equals("--help");
        Process process = new ProcessBuilder(command).redirectErrorStream(true)
                .redirectOutput(asked ? ProcessBuilder.Redirect.DISCARD : ProcessBuilder.Redirect.INHERIT).start();
        int status = process.waitFor();
        if (status != 0) {
            throw new IOException(String.join(" ", command) + " ended with status " + status);
        }
    }

    private static void print(List<Map<String, String>> columns) {
        System.out.println();
        boolean first = true;
        for (String key : columns.getFirst().keySet()) {
            System.out.println("| " + key + " | " + columns.stream().map(c -> c.getOrDefault(key, "")).collect(Collectors.joining(" | ")) + " |");
            if (first) {
                System.out.println("|---|" + "---|".repeat(columns.size()));
                first = false;
            }
        }
    }

    private static long bytes(Path path) throws IOException {
        try (Stream<Path> files = Files.walk(path)) {
            return files.filter(Files::isRegularFile).mapToLong(file -> file.toFile().length()).sum();
        }
    }

    private static String number(double value) {
        return String.format(Locale.ROOT, value < 100 ? "%.1f" : "%.0f", value);
    }

    private static String mebibytes(double bytes) {
        return String.format(Locale.ROOT, "%.0f", bytes / MIB);
    }
}
