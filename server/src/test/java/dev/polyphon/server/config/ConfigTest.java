package dev.polyphon.server.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ConfigTest {
    private static final Path ANNOTATED = Path.of("..", "configs", "polyphon.yaml");

    @TempDir
    private Path folder;

    private PolyphonConfig read(String yaml) throws IOException {
        return read(yaml, Map.of(), Map.of());
    }

    private PolyphonConfig read(String yaml, Map<String, String> environment, Map<String, String> commandLine) throws IOException {
        Path file = Files.writeString(folder.resolve("test.yaml"), yaml);
        return PolyphonConfig.read(Sources.of(file, environment, commandLine));
    }

    @Test
    void annotatedFileHoldsEveryKeyWithItsDefault() throws IOException {
        assertThat(PolyphonConfig.read(Sources.of(ANNOTATED, Map.of(), Map.of()))).isEqualTo(PolyphonConfig.defaults());
        var keys = new TreeSet<String>();
        var tree = (ObjectNode) new YAMLMapper().readTree(ANNOTATED.toFile());
        tree.properties().forEach(section -> section.getValue().fieldNames().forEachRemaining(key -> keys.add(section.getKey() + "." + key)));
        assertThat(keys).isEqualTo(PolyphonConfig.keys());
    }

    @Test
    void annotatedFileSaysSomethingAboutEverySection() throws IOException {
        var lines = Files.readAllLines(ANNOTATED);
        for (int i = 1; i < lines.size(); i++) {
            if (lines.get(i).matches("\\S+:")) {
                assertThat(lines.get(i + 1)).as(lines.get(i)).startsWith("  #");
            }
            assertThat(lines.get(i).length()).isLessThanOrEqualTo(140);
        }
    }

    @Test
    void readsAFile() throws IOException {
        var config = read("""
                server: {port: 9000, maxBody: 1.5MiB, idleTimeout: 250ms, host: 0.0.0.0}
                adapters: {loading: false, roots: [/a, /b]}
                engine:
                  kvBytes: 4096
                  maxSequences: 256
                log:
                """);
        assertThat(config.http().port()).isEqualTo(9000);
        assertThat(config.http().maxBody()).isEqualTo(3 << 19);
        assertThat(config.http().idleTimeout()).isEqualTo(Duration.ofMillis(250));
        assertThat(config.http().host()).isEqualTo("0.0.0.0");
        assertThat(config.adapters().loading()).isFalse();
        assertThat(config.adapters().roots()).containsExactly(Path.of("/a"), Path.of("/b"));
        assertThat(config.engine().kvBytes()).isEqualTo(4096);
        assertThat(config.engine().stepTokens()).as("follows maxSequences").isEqualTo(256);
        assertThat(read("")).isEqualTo(PolyphonConfig.defaults());
    }

    @Test
    void commandLineGoesBeforeEnvironmentBeforeFile() throws IOException {
        String file = "server: {port: 1, maxBody: 1MiB, host: a}";
        var environment = Map.of("POLYPHON_SERVER_PORT", "2", "POLYPHON_SERVER_MAX_BODY", "2MiB", "PATH", "/bin", "POLYPHON_CACHE", "/cache");
        var config = read(file, environment, Map.of("server.port", "3"));
        assertThat(config.http().port()).isEqualTo(3);
        assertThat(config.http().maxBody()).isEqualTo(2 << 20);
        assertThat(config.http().host()).isEqualTo("a");
    }

    @Test
    void everyKeyHasAnEnvironmentVariable() {
        assertThat(PolyphonConfig.keys()).extracting(Sources::variable).doesNotHaveDuplicates()
                .contains("POLYPHON_SERVER_MAX_CONNECTIONS", "POLYPHON_ENGINE_KV_BYTES", "POLYPHON_LOG_ACCESS", "POLYPHON_METRICS_JVM");
    }

    @Test
    void takesTextsAsTheyStand() throws IOException {
        var config = read("", Map.of("POLYPHON_MODELS_BASE", "/my models: #1/[x].gguf"), Map.of("adapters.folder", "12"));
        assertThat(config.base()).isEqualTo("/my models: #1/[x].gguf");
        assertThat(config.adapterFolder()).isEqualTo("12");
    }

    @Test
    void suggestsTheNearestKey() {
        assertThatThrownBy(() -> read("server: {prot: 1}"))
                .isInstanceOf(ConfigException.class)
                .hasMessageContaining("unknown key 'server.prot' in ").hasMessageContaining("did you mean 'server.port'?");
        assertThatThrownBy(() -> read("sever: {port: 1}")).hasMessageContaining("did you mean 'server'?");
        assertThatThrownBy(() -> read("port: 1")).hasMessageContaining("did you mean 'server.port'?");
        assertThatThrownBy(() -> read("", Map.of(), Map.of("server.maxbody", "1"))).hasMessageContaining("did you mean 'server.maxBody'?");
        assertThatThrownBy(() -> read("", Map.of("POLYPHON_SERVER_PROT", "1"), Map.of())).hasMessageContaining("did you mean 'POLYPHON_SERVER_PORT'?");
        assertThatThrownBy(() -> read("whatever: 1")).hasMessageContaining("known are").hasMessageContaining("server.port");
    }

    @Test
    void saysWhatIsWrong() {
        assertThatThrownBy(() -> read("server: {port: 70000}"))
                .hasMessageContaining("server.port must be a whole number from 0 to 65535, found '70000' in ").hasMessageContaining("test.yaml");
        assertThatThrownBy(() -> read("", Map.of("POLYPHON_SERVER_PORT", "many"), Map.of()))
                .hasMessageContaining("found 'many' in the environment (POLYPHON_SERVER_PORT)");
        assertThatThrownBy(() -> read("", Map.of(), Map.of("server.idleTimeout", "30"))).hasMessageContaining("500ms").hasMessageContaining("on the command line");
        assertThatThrownBy(() -> read("server: {maxBody: 4MB}")).hasMessageContaining("found '4MB'").hasMessageContaining("4MiB");
        assertThatThrownBy(() -> read("server: 5")).hasMessageContaining("server must be a mapping of keys, found '5'");
        assertThatThrownBy(() -> read("adapters: {loading: perhaps}")).hasMessageContaining("true or false");
        assertThatThrownBy(() -> read("adapters: {roots: [[1]]}")).hasMessageContaining("a list of folders");
        assertThatThrownBy(() -> read("log: {level: loud}")).hasMessageContaining("one of trace, debug");
        assertThatThrownBy(() -> read("server: {port: }")).hasMessageContaining("found nothing");
        assertThatThrownBy(() -> read("engine: {maxSequences: 64, stepTokens: 8}")).hasMessageContaining("at least engine.maxSequences (64), found 8");
        assertThatThrownBy(() -> read("server: {port: 1, port: 2}")).isInstanceOf(ConfigException.class).hasMessageContaining("line 1");
        assertThatThrownBy(() -> read("server: [")).isInstanceOf(ConfigException.class).hasMessageContaining("not valid YAML");
        assertThatThrownBy(() -> read("- a")).hasMessageContaining("mapping of sections");
        assertThatThrownBy(() -> Sources.of(folder.resolve("none.yaml"), Map.of(), Map.of())).hasMessageContaining("cannot read").hasMessageContaining("none.yaml");
        assertThatThrownBy(() -> Sources.assignment("server.port")).hasMessageContaining("key=value");
    }
}
