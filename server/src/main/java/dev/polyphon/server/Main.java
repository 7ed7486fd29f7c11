package dev.polyphon.server;

import dev.polyphon.engine.BlankModel;
import dev.polyphon.engine.Devices;
import dev.polyphon.engine.Engine;
import dev.polyphon.engine.EngineOptions;
import dev.polyphon.engine.merge.Precision;
import dev.polyphon.engine.pool.Eviction;
import dev.polyphon.engine.pool.PoolOptions;
import dev.polyphon.engine.pool.source.SourceOptions;
import dev.polyphon.engine.replica.Replicas;
import dev.polyphon.engine.schedule.Fairness;
import dev.polyphon.engine.schedule.PrefixSharing;
import dev.polyphon.engine.schedule.SchedulePolicy;
import dev.polyphon.engine.schedule.merge.MergeOptions;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.cli.adapter.AdapterCommand;
import dev.polyphon.server.cli.ElsewhereCommand;
import dev.polyphon.server.cli.OperatorKeyCommand;
import dev.polyphon.server.cli.PullCommand;
import dev.polyphon.server.cli.RehearseCommand;
import dev.polyphon.server.cli.ServeCommand;
import dev.polyphon.server.cli.VerifyCommand;
import dev.polyphon.server.cli.remote.AdminCommands;
import dev.polyphon.server.cli.remote.AuditCommand;
import dev.polyphon.server.cli.remote.BatchCommand;
import dev.polyphon.server.cli.remote.CancelCommand;
import dev.polyphon.server.cli.remote.ChatCommand;
import dev.polyphon.server.cli.remote.CompleteCommand;
import dev.polyphon.server.cli.remote.KeyCommands;
import dev.polyphon.server.cli.remote.ListCommand;
import dev.polyphon.server.cli.remote.LoadCommand;
import dev.polyphon.server.cli.remote.MergeCommands;
import dev.polyphon.server.cli.remote.OperationsCommand;
import dev.polyphon.server.cli.remote.PoolCommands;
import dev.polyphon.server.cli.remote.TenantCommands;
import dev.polyphon.server.cli.remote.TopCommand;
import dev.polyphon.server.cli.remote.UnloadCommand;
import dev.polyphon.server.cli.remote.UploadCommand;
import dev.polyphon.server.cli.remote.UsageCommand;
import dev.polyphon.server.config.AdapterStorage;
import dev.polyphon.server.config.ConfigException;
import dev.polyphon.server.config.EngineConfig;
import dev.polyphon.server.config.MergingConfig;
import dev.polyphon.server.config.SchedulingConfig;
import dev.polyphon.server.observe.Version;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import picocli.AutoComplete;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;

/** The command line: {@code polyphon COMMAND}. The one place that knows which runtime is behind the SPI. */
@Command(
        name = "polyphon",
        description = "One frozen base model, many adapters, one batch.",
        mixinStandardHelpOptions = true,
        versionProvider = Main.VersionText.class,
        synopsisSubcommandLabel = "COMMAND",
        footer = {"", "Commands that ask a running server find it by --url or POLYPHON_URL, show a key by --key or POLYPHON_API_KEY, and print JSON with --json."})
public final class Main {
    private Main() {}

    public static void main(String[] arguments) {
        // To describe all commands takes a noticeable part of the server's start.
        boolean serve = arguments.length > 0 && arguments[0].equals("serve");
        System.exit((serve ? serve() : commands()).execute(arguments));
    }

    private static CommandLine serve() {
        return new CommandLine(new Main()).addSubcommand(new ServeCommand(Main::open, System.getenv())).setExecutionExceptionHandler(Main::explain);
    }

    /** All commands. */
    static CommandLine commands() {
        return serve()
                .addSubcommand(new RehearseCommand(Main::open, BlankModel::write))
                .addSubcommand(new PullCommand())
                .addSubcommand(new VerifyCommand())
                .addSubcommand(PoolCommands.addTo(new CommandLine(new AdapterCommand())
                        .addSubcommand(new ListCommand())
                        .addSubcommand(new LoadCommand())
                        .addSubcommand(new UploadCommand())
                        .addSubcommand(new UnloadCommand())
                        .addSubcommand(new OperationsCommand())
                        .addSubcommand(new CancelCommand())
                        .addSubcommand(new MergeCommands.MergeIn())
                        .addSubcommand(new MergeCommands.Unmerge())
                        .addSubcommand(new MergeCommands.Merges())))
                .addSubcommand(TenantCommands.group())
                .addSubcommand(new CommandLine(KeyCommands.group())
                        .addSubcommand(new OperatorKeyCommand()))
                .addSubcommand(AdminCommands.group())
                .addSubcommand(new UsageCommand())
                .addSubcommand(new AuditCommand())
                .addSubcommand(new ChatCommand())
                .addSubcommand(new CompleteCommand())
                .addSubcommand(new BatchCommand())
                .addSubcommand(new TopCommand())
                .addSubcommand(new ElsewhereCommand.Bench())
                .addSubcommand(new ElsewhereCommand.Measure())
                .addSubcommand(new AutoComplete.GenerateCompletion())
                .setExecutionExceptionHandler(Main::explain);
    }

    private static Runtime open(String name, Path model, EngineConfig config) throws IOException {
        List<String> devices;
        try {
            devices = Devices.each(config.device());
        } catch (IllegalArgumentException e) {
            throw new ConfigException("engine.device: " + e.getMessage());
        }
        return devices.size() == 1
                ? engine(name, model, config, pool(config), devices.getFirst())
                : Replicas.open(devices.size(), i -> engine(name, model, config, replicaPool(config, i, devices.size()), devices.get(i)));
    }

    /** What replicas share of this machine is shared out; each keeps what it is told in a folder of its own. */
    private static PoolOptions replicaPool(EngineConfig config, int number, int count) {
        PoolOptions pool = pool(config).withHostBytes(config.adapters().hostBytes() / count).withDiskBytes(config.adapters().diskBytes() / count);
        return number == 0 || pool.store() == null ? pool : pool.withStore(pool.store().resolve("replica-" + number));
    }

    private static Runtime engine(String name, Path model, EngineConfig config, PoolOptions pool, String device) throws IOException {
        return Engine.open(new EngineOptions(name, model, config.contextLength(), config.maxSequences(), config.stepTokens(),
                config.kvBytes(), config.sharedBytes(), config.blockSize(), config.queueLimit(), pool, policy(config.scheduling())),
                merging(config.merging()), Devices.open(device, config.threads()));
    }

    private static MergeOptions merging(MergingConfig config) {
        return new MergeOptions(config.mode(), config.bytes(), Precision.valueOf(config.precision().toUpperCase(Locale.ROOT)),
                config.load(), config.share(), config.gain(), config.window());
    }

    private static SchedulePolicy policy(SchedulingConfig config) {
        return new SchedulePolicy(Fairness.valueOf(config.fairness().toUpperCase(Locale.ROOT)), config.outputPrice(),
                orNone(config.maxWait()), config.tenantQueueLimit(), PrefixSharing.valueOf(config.prefixCache().toUpperCase(Locale.ROOT)),
                orNone(config.tokenTime()), orNone(config.clusterTime()));
    }

    private static Duration orNone(Duration limit) {
        return limit.isZero() ? null : limit;
    }

    private static PoolOptions pool(EngineConfig config) {
        AdapterStorage from = config.adapters();
        var s3 = from.s3() == null ? null : new SourceOptions.S3(from.s3().endpoint(), from.s3().region(), from.s3().accessKey(), from.s3().secretKey(),
                from.s3().sessionToken(), from.s3().pathStyle());
        return PoolOptions.of(config.adapterBytes()).withStore(from.store()).withDiskBytes(from.diskBytes()).withHostBytes(from.hostBytes())
                .withEviction(Eviction.valueOf(from.eviction().toUpperCase(Locale.ROOT).replace('-', '_')))
                .withLongestWait(from.longestWait()).withTurnTime(from.turnTime()).withUploadBytes(from.uploadBytes())
                .withSources(SourceOptions.NONE.withHub(from.hub() == null ? null : new SourceOptions.Hub(from.hub(), from.hubToken())).withS3(s3)
                        .withLargestFile(from.fileBytes()).withSlowest(from.stallTime(), from.leastRate()));
    }

    /** What a user can put right is told in one line; only a fault of the program comes with its stack. */
    private static int explain(Exception failure, CommandLine command, CommandLine.ParseResult parsed) {
        switch (failure) {
            case ConfigException e -> command.getErr().println("polyphon: " + e.getMessage());
            case UncheckedIOException e -> command.getErr().println("polyphon: " + e.getCause().getMessage());
            case NoSuchFileException e -> command.getErr().println("polyphon: there is no " + e.getMessage());
            case IOException e -> command.getErr().println("polyphon: " + (e.getMessage() == null ? e : e.getMessage()));
            default -> failure.printStackTrace(command.getErr());
        }
        return failure instanceof ConfigException ? CommandLine.ExitCode.USAGE : CommandLine.ExitCode.SOFTWARE;
    }

    static final class VersionText implements IVersionProvider {
        @Override
        public String[] getVersion() {
            return new String[] {"polyphon " + Version.TEXT};
        }
    }
}
