package dev.polyphon.server.cli;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.PolyphonServer;
import dev.polyphon.server.config.ConfigException;
import dev.polyphon.server.config.PolyphonConfig;
import dev.polyphon.server.config.Sources;
import dev.polyphon.server.models.ModelStore;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code polyphon serve}. */
@Command(
        name = "serve",
        description = "Serves a base model and its adapters by the OpenAI API until it is told to stop.",
        mixinStandardHelpOptions = true,
        sortOptions = false)
public final class ServeCommand implements Callable<Integer> {
    private final RuntimeOpener opener;
    private final Map<String, String> environment;

    @Option(names = "--base", paramLabel = "NAME|PATH", description = "The base model: a name of the catalogue, a GGUF file or a Hugging Face folder.")
    private String base;

    @Option(names = "--adapters", paramLabel = "DIR", description = "Registers every adapter folder in DIR under its folder's name.")
    private String adapters;

    @Option(names = "--host", paramLabel = "ADDRESS", description = "The address to listen on.")
    private String host;

    @Option(names = "--port", paramLabel = "N", description = "The port to listen on; 0 for any that is free.")
    private String port;

    @Option(names = "--device", paramLabel = "DEVICE", description = "What computes: auto, cpu, cpu:vector, cuda or cuda:N (:f32 behind it for products in f32), cuda:0,cuda:1 or cuda:all for several.")
    private String device;

    @Option(names = "--threads", paramLabel = "N", description = "Computing threads; 0 for one per processor.")
    private String threads;

    @Option(names = "--config", paramLabel = "FILE", description = "The configuration file; POLYPHON_CONFIG names it too (default: configs/polyphon.yaml).")
    private Path file;

    @Option(names = "--set", paramLabel = "KEY=VALUE", description = "Sets any key of the configuration, for example server.maxBody=8MiB.")
    private List<String> settings = List.of();

    public ServeCommand(RuntimeOpener opener, Map<String, String> environment) {
        this.opener = opener;
        this.environment = environment;
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        PolyphonConfig config = configuration();
        ((Logger) LoggerFactory.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME)).setLevel(Level.toLevel(config.logLevel()));
        var store = ModelStore.open(catalog(config), environment, System.err);
        String wanted = config.base().isEmpty() ? store.defaultModel() : config.base();
        Path model = store.resolve(wanted);
        String name = config.name().isEmpty() ? nameOf(wanted, model) : config.name();
        Runtime runtime = opener.open(name, model, config.engine());
        PolyphonServer server;
        try {
            Path folder = adapterFolder(config);
            if (folder != null) {
                AdapterFolder.registerAll(folder, name, runtime.adapters());
            }
            server = new PolyphonServer(config, runtime);
        } catch (IOException | RuntimeException e) {
            runtime.close();
            throw e;
        }
        var stopped = new CountDownLatch(1);
        java.lang.Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(server, stopped), "shutdown"));
        Welcome.print(System.out, server.address(), config.http().tls() != null, runtime, server.tenancy());
        stopped.await();
        return 0;
    }

    /** Ends as asked for, by Ctrl-C or SIGTERM: that is no failure, so the exit status is 0 and not the signal's. */
    private static void stop(PolyphonServer server, CountDownLatch stopped) {
        try {
            server.drain();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            server.close();
            stopped.countDown();
            java.lang.Runtime.getRuntime().halt(0);
        }
    }

    private PolyphonConfig configuration() {
        var values = new LinkedHashMap<String, String>();
        for (String setting : settings) {
            var assignment = Sources.assignment(setting);
            values.put(assignment.getKey(), assignment.getValue());
        }
        named(values, "models.base", base);
        named(values, "adapters.folder", adapters);
        named(values, "server.host", host);
        named(values, "server.port", port);
        named(values, "engine.device", device);
        named(values, "engine.threads", threads);
        return PolyphonConfig.read(Sources.of(configurationFile(environment.getOrDefault("POLYPHON_CONFIG", "")), environment, values));
    }

    /** The file that was named, or the one that comes with the program, or null: it holds the defaults unless someone changed it. */
    private Path configurationFile(String fromEnvironment) {
        if (file != null) {
            return file;
        }
        if (!fromEnvironment.isEmpty()) {
            return Path.of(fromEnvironment);
        }
        Path own = Home.folder().resolve("configs/polyphon.yaml");
        return Files.exists(own) ? own : null;
    }

    private static void named(Map<String, String> values, String key, String value) {
        if (value != null && values.put(key, value) != null) {
            throw new ConfigException(key + " is set twice on the command line");
        }
    }

    /** The file beside the program, unless the configuration names another. */
    private static Path catalog(PolyphonConfig config) {
        return config.catalog().isEmpty() ? Home.catalog() : Path.of(config.catalog());
    }

    /** The folder that was named; else, with the default base, the one with the adapters made for it; or null. */
    private static Path adapterFolder(PolyphonConfig config) {
        if (!config.adapterFolder().isEmpty()) {
            return Path.of(config.adapterFolder());
        }
        Path bundled = Home.folder().resolve("configs/adapters");
        return config.bundledAdapters() && config.base().isEmpty() && Files.isDirectory(bundled) ? bundled : null;
    }

    /** A catalogue name stands for itself, a path for its last part. */
    private static String nameOf(String wanted, Path model) {
        boolean path = Files.exists(Path.of(wanted));
        return path ? model.getFileName().toString().replaceFirst("\\.gguf$", "") : wanted;
    }
}
