package dev.polyphon.server.config;

import dev.polyphon.runtime.Pooling;
import dev.polyphon.server.admin.OperationSettings;
import dev.polyphon.server.http.CorsSettings;
import dev.polyphon.server.http.HttpSettings;
import dev.polyphon.server.http.TlsSettings;
import dev.polyphon.server.observe.AccessLog;
import dev.polyphon.server.observe.ObserveSettings;
import dev.polyphon.server.observe.TraceSettings;
import dev.polyphon.server.openai.AdapterSettings;
import dev.polyphon.server.openai.EmbeddingSettings;
import dev.polyphon.server.openai.RequestLimits;
import dev.polyphon.server.tenant.JwtSettings;
import dev.polyphon.server.tenant.TenancySettings;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * All settings of a server.
 *
 * @param base name or path of the base model; empty for the default of the catalogue
 * @param name what requests call the base; empty for its name in the catalogue, or its file's
 * @param catalog file that says where named models come from; empty for {@code configs/models.yaml}
 * @param adapterFolder folder whose sub-folders are adapters; empty for none
 * @param bundledAdapters whether the demonstration adapters are registered when no folder and no base is named
 * @param drainLimit how long requests under way may take at shutdown
 * @param cors which pages' scripts may use it
 * @param drainDelay how long the server, no longer ready, goes on accepting at shutdown, so that load balancers notice
 * @param logLevel least level that is logged
 */
public record PolyphonConfig(
        String base,
        String name,
        String catalog,
        String adapterFolder,
        boolean bundledAdapters,
        HttpSettings http,
        CorsSettings cors,
        Duration drainDelay,
        Duration drainLimit,
        RequestLimits limits,
        EmbeddingSettings embeddings,
        AdapterSettings adapters,
        OperationSettings operations,
        EngineConfig engine,
        TenancySettings tenancy,
        ObserveSettings observe,
        String logLevel) {
    private static final Duration HOUR = Duration.ofHours(1);
    private static final Duration INSTANT = Duration.ofMillis(1);
    private static final int MANY = 1 << 20;
    private static final int STEP_TOKENS = 128;

    public static PolyphonConfig defaults() {
        return read(Sources.of(null, Map.of(), Map.of()));
    }

    /** Reads the configuration, or throws {@link ConfigException}. */
    public static PolyphonConfig read(Sources sources) {
        PolyphonConfig config = ask(sources);
        sources.requireAllKnown();
        return config;
    }

    /** The names of all keys. */
    static Set<String> keys() {
        Sources none = Sources.of(null, Map.of(), Map.of());
        ask(none);
        return none.keys();
    }

    private static PolyphonConfig ask(Sources sources) {
        Section root = sources.root();
        Section models = root.section("models");
        Section server = root.section("server");
        Section adapters = root.section("adapters");
        Section log = root.section("log");
        EngineConfig engine = engine(root.section("engine"), root.section("scheduling"), MergingConfig.read(root.section("merging")),
                AdapterStorage.read(adapters, root.section("hub"), root.section("s3")));
        return new PolyphonConfig(
                models.text("base", ""),
                models.text("name", ""),
                models.text("catalog", ""),
                adapters.text("folder", ""),
                adapters.flag("bundled", true),
                http(server, root.section("tls")),
                cors(root.section("cors")),
                server.duration("drainDelay", Duration.ZERO, Duration.ZERO, HOUR),
                server.duration("drainLimit", Duration.ofSeconds(30), Duration.ZERO, HOUR),
                limits(root.section("limits")),
                embeddings(root.section("embeddings")),
                new AdapterSettings(adapters.flag("loading", true), adapters.paths("roots")),
                operations(root.section("operations")),
                engine,
                tenancy(root.section("tenants"), root.section("jwt")),
                observe(root.section("metrics"), log, traces(root.section("traces")), engine),
                log.oneOf("level", "info", List.of("trace", "debug", "info", "warn", "error", "off")));
    }

    private static HttpSettings http(Section server, Section tls) {
        long writeHigh = server.bytes("writeHigh", 128 << 10, 1 << 10, 1 << 30);
        return new HttpSettings(
                server.text("host", "127.0.0.1"),
                server.integer("port", 8000, 0, 65_535),
                server.integer("ioThreads", 0, 0, 256),
                server.integer("backlog", 1024, 1, 65_535),
                server.integer("maxConnections", 10_000, 1, MANY),
                server.integer("maxStreams", 256, 1, MANY),
                (int) server.bytes("maxRequestLine", 8 << 10, 64, 1 << 20),
                (int) server.bytes("maxHeader", 32 << 10, 256, 1 << 20),
                (int) server.bytes("maxBody", 4 << 20, 64, 1 << 30),
                (int) server.bytes("compressFrom", 1 << 10, 0, 1 << 30),
                server.duration("headerTimeout", Duration.ofSeconds(10), INSTANT, HOUR),
                server.duration("bodyTimeout", Duration.ofSeconds(60), INSTANT, HOUR),
                server.duration("streamTimeout", Duration.ofMinutes(10), INSTANT, HOUR),
                server.duration("idleTimeout", Duration.ofSeconds(75), INSTANT, HOUR),
                server.duration("writeTimeout", Duration.ofSeconds(30), INSTANT, HOUR),
                (int) writeHigh,
                (int) server.bytes("writeLow", 32 << 10, 0, writeHigh),
                tls(tls));
    }

    private static CorsSettings cors(Section cors) {
        return new CorsSettings(Set.copyOf(cors.origins("origins")), cors.duration("maxAge", Duration.ofMinutes(10), Duration.ZERO, Duration.ofDays(1)));
    }

    private static TlsSettings tls(Section tls) {
        String certificate = tls.text("certificate", "");
        String key = tls.text("key", "");
        String clientAuthorities = tls.text("clientAuthorities", "");
        Duration lookEvery = tls.duration("lookEvery", Duration.ofSeconds(10), INSTANT, HOUR);
        if (certificate.isEmpty() != key.isEmpty()) {
            throw new ConfigException("tls.certificate and tls.key go together: there is only tls." + (key.isEmpty() ? "certificate" : "key"));
        }
        if (certificate.isEmpty() && !clientAuthorities.isEmpty()) {
            throw new ConfigException("tls.clientAuthorities needs tls.certificate and tls.key");
        }
        return certificate.isEmpty() ? null
                : new TlsSettings(Path.of(certificate), Path.of(key), clientAuthorities.isEmpty() ? null : Path.of(clientAuthorities), lookEvery);
    }

    private static OperationSettings operations(Section operations) {
        String folder = operations.text("folder", "");
        return new OperationSettings(folder.isEmpty() ? null : Path.of(folder), operations.integer("running", 1, 1, 64),
                operations.integer("waiting", 32, 1, MANY), operations.integer("kept", 100, 0, MANY),
                operations.integer("calibrationTokens", 16_384, 1, 1 << 24));
    }

    private static RequestLimits limits(Section limits) {
        return new RequestLimits(
                limits.integer("choices", 128, 1, MANY),
                limits.integer("prompts", 256, 1, MANY),
                limits.integer("sequences", 256, 1, MANY),
                limits.integer("messages", 4096, 1, MANY),
                limits.integer("stops", 16, 1, 1024),
                limits.integer("stopLength", 256, 1, 65_536),
                limits.integer("logprobs", 20, 0, 1024),
                limits.integer("promptLogprobs", 1_000_000, 1, MANY),
                limits.integer("logitBias", 1024, 0, MANY),
                limits.integer("adapters", 16, 1, 1024));
    }

    private static EmbeddingSettings embeddings(Section embeddings) {
        return new EmbeddingSettings(Pooling.valueOf(embeddings.oneOf("pooling", "mean", List.of("mean", "last")).toUpperCase(Locale.ROOT)),
                embeddings.integer("inputs", 2048, 1, MANY));
    }

    private static EngineConfig engine(Section engine, Section scheduling, MergingConfig merging, AdapterStorage adapters) {
        int maxSequences = engine.integer("maxSequences", 64, 1, 65_536);
        int stepTokens = engine.integer("stepTokens", 0, 0, 1 << 20);
        if (stepTokens == 0) {
            stepTokens = Math.max(STEP_TOKENS, maxSequences);
        } else if (stepTokens < maxSequences) {
            throw new ConfigException("engine.stepTokens must be at least engine.maxSequences (" + maxSequences + "), found " + stepTokens);
        }
        String device = engine.text("device", "auto");
        if (!device.matches("auto|cpu(:vector)?|cuda(:\\d{1,4})?(:(f32|bf16))?")) {
            throw new ConfigException("engine.device must be auto, cpu, cpu:vector, cuda or cuda:N (and :f32 or :bf16), found " + device);
        }
        int queueLimit = engine.integer("queueLimit", 512, 1, MANY);
        return new EngineConfig(
                device,
                engine.integer("threads", 0, 0, 1024),
                engine.integer("contextLength", 0, 0, 1 << 24),
                maxSequences,
                stepTokens,
                engine.bytes("kvBytes", 1 << 30, 1 << 10, 1L << 50),
                engine.bytes("sharedBytes", 768 << 20, 0, 1L << 50),
                engine.integer("blockSize", 32, 1, 1024),
                queueLimit,
                engine.bytes("adapterBytes", 256 << 20, 0, 1L << 50),
                adapters,
                scheduling(scheduling, queueLimit),
                merging);
    }

    private static SchedulingConfig scheduling(Section scheduling, int queueLimit) {
        int tenantQueueLimit = scheduling.integer("tenantQueueLimit", 0, 0, MANY);
        return new SchedulingConfig(
                scheduling.oneOf("fairness", "tenant", List.of("tenant", "adapter", "none")),
                scheduling.integer("outputPrice", 2, 0, 1000),
                scheduling.duration("maxWait", Duration.ofMinutes(5), Duration.ZERO, HOUR),
                tenantQueueLimit > 0 ? tenantQueueLimit : queueLimit - queueLimit / 8,
                scheduling.oneOf("prefixCache", "tenant", List.of("tenant", "shared", "off")),
                scheduling.duration("tokenTime", Duration.ofMillis(200), Duration.ZERO, HOUR),
                scheduling.duration("clusterTime", Duration.ofSeconds(1), Duration.ZERO, Duration.ofMinutes(10)));
    }

    private static TenancySettings tenancy(Section tenants, Section jwt) {
        String store = tenants.text("store", "");
        return new TenancySettings(store.isEmpty() ? null : Path.of(store), tenants.flag("openMetrics", false), jwt(jwt));
    }

    private static JwtSettings jwt(Section jwt) {
        var settings = new JwtSettings(
                jwt.text("issuer", ""),
                jwt.text("jwks", ""),
                jwt.text("audience", "polyphon"),
                Set.copyOf(jwt.someOf("algorithms", List.of("RS256", "ES256"), List.of("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"))),
                jwt.text("tenantClaim", "tenant"),
                jwt.text("roleClaim", ""),
                jwt.duration("skew", Duration.ofSeconds(60), Duration.ZERO, Duration.ofMinutes(10)));
        for (String address : new String[] {settings.issuer(), settings.jwks()}) {
            if (!address.isEmpty() && !address.matches("https://.+|http://(127\\.0\\.0\\.1|localhost|\\[::1])(:\\d+)?(/.*)?")) {
                throw new ConfigException("jwt.issuer and jwt.jwks must be https:// addresses, unless they are on this machine, found " + address);
            }
        }
        return settings;
    }

    private static TraceSettings traces(Section traces) {
        return new TraceSettings(
                traces.address("endpoint", traces.textOr("endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT")),
                headers(traces.textOr("headers", "OTEL_EXPORTER_OTLP_HEADERS")),
                traces.integer("sample", 100, 0, 100),
                traces.text("service", "polyphon"),
                traces.integer("queue", 8192, 1, MANY),
                traces.duration("timeout", Duration.ofSeconds(10), INSTANT, Duration.ofMinutes(10)));
    }

    private static Map<String, String> headers(String text) {
        var headers = new TreeMap<String, String>();
        for (String one : text == null || text.isBlank() ? new String[0] : text.split(",")) {
            int equals = one.indexOf('=');
            if (equals < 1 || !one.substring(0, equals).strip().matches("[A-Za-z0-9!#$%&'*+.^_`|~-]+")) {
                // What was found may be a secret.
                throw new ConfigException("traces.headers must be like NAME=VALUE,NAME=VALUE");
            }
            headers.put(one.substring(0, equals).strip(), one.substring(equals + 1).strip());
        }
        return Map.copyOf(headers);
    }

    private static ObserveSettings observe(Section metrics, Section log, TraceSettings traces, EngineConfig engine) {
        boolean access = log.flag("access", false);
        String format = log.oneOf("accessFormat", "text", List.of("text", "json"));
        return new ObserveSettings(
                metrics.integer("adapterLabels", 50, 0, 10_000),
                metrics.integer("tenantLabels", 50, 0, 10_000),
                engine.maxSequences(),
                metrics.flag("jvm", true),
                access ? AccessLog.valueOf(format.toUpperCase(Locale.ROOT)) : AccessLog.OFF,
                traces);
    }
}
