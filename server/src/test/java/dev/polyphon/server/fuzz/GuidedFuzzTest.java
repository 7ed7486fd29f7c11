package dev.polyphon.server.fuzz;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Looks for inputs that break a reader, guided by what code they reach: Jazzer, in a process of its own, for a few seconds and 3000 inputs at most with all targets. With the
 * property {@code fuzz.seconds} it looks for so long; with {@code fuzz.target}, at one only; with {@code fuzz.corpus}, a folder, it keeps what reached new
 * code there for the next time. {@code .ci/fuzz} does all of that.
 */
class GuidedFuzzTest {
    private static final String JAZZER = "com.code_intelligence.jazzer.";
    /**
     * A target does what the first two look for, and should: it connects to its server; adapters name modules by patterns, which are given a time limit.
     * The last does not know how newer Javas call {@code Unsafe}.
     */
    private static final String DISABLED = Stream.of("ServerSideRequestForgery", "RegexInjection", "UnsafeSanitizer").map(name -> JAZZER + "sanitizers." + name)
            .collect(Collectors.joining(File.pathSeparator));
    /** Where calls that matter are watched: here, and in the language of chat templates. Everywhere would take long to load. */
    private static final String HOOKED = String.join(File.pathSeparator, "dev.polyphon.**", "com.hubspot.jinjava.**", "jinjava.**");

    @Test
    void findsNothing(@TempDir Path temporary) throws Exception {
        assumeTrue(List.of("amd64", "x86_64").contains(System.getProperty("os.arch")), "Jazzer comes for this processor");
        int seconds = Integer.getInteger("fuzz.seconds", 30);
        int inputs = System.getProperty("fuzz.seconds") == null ? 3000 : -1;
        String target = System.getProperty("fuzz.target", "Any");
        Path folder = Path.of(System.getProperty("fuzz.corpus", temporary.toString()));
        Path corpus = Files.createDirectories(folder.resolve("corpus").resolve(target));
        Path found = Files.createDirectories(folder.resolve("found").resolve(target));
        writeSeeds(target, corpus);
        Path log = folder.resolve(target + ".log");
        Process jazzer = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xmx1g", "-XX:+EnableDynamicAgentLoading",
                "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow", "--add-modules=jdk.incubator.vector", "-cp", System.getProperty("java.class.path"),
                JAZZER + "Jazzer", "--target_class=" + Targets.class.getName() + "$" + target, "--instrumentation_includes=dev.polyphon.**", "--custom_hook_includes=" + HOOKED,
                "--disabled_hooks=" + DISABLED, "--reproducer_path=" + found, "-artifact_prefix=" + found + File.separator, "-max_total_time=" + seconds, "-runs=" + inputs,
                "-seed=" + (inputs > 0 ? 1 : 0), "-timeout=60", "-rss_limit_mb=4096", "-print_final_stats=1", corpus.toString()).redirectErrorStream(true).redirectOutput(log.toFile()).start();
        try {
            assertThat(jazzer.waitFor(seconds + 120L, TimeUnit.SECONDS)).as("ended").isTrue();
        } finally {
            jazzer.destroyForcibly();
        }
        String told = Files.readString(log);
        assertThat(jazzer.exitValue()).as(() -> told.replaceAll("(?m)^(INFO|WARNING): .*\n", "")).isZero();
        var runs = Pattern.compile("stat::number_of_executed_units: (\\d+)").matcher(told);
        assertThat(runs.find()).as("told how many inputs were tried").isTrue();
        System.out.println("Jazzer tried " + runs.group(1) + " inputs with " + target);
        assertThat(Integer.parseInt(runs.group(1))).isGreaterThan(Targets.ALL.size());
    }

    private static void writeSeeds(String target, Path corpus) throws IOException {
        for (int i = 0; i < Targets.ALL.size(); i++) {
            String name = Targets.ALL.get(i).name();
            if (target.equals("Any") || target.equals(name)) {
                int number = 0;
                for (byte[] seed : Seeds.of(name)) {
                    byte[] input = target.equals("Any") ? Seeds.joined(new byte[] {(byte) i}, seed) : seed;
                    Files.write(corpus.resolve(name + "-" + number++), input);
                }
            }
        }
    }
}
