package dev.polyphon.server;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The page about security names a test for everything it says, and these are there. */
class SecurityPageTest {
    private static final Path ROOT = Path.of("..");
    private static final Pattern NAMED = Pattern.compile("`(\\w+Test)`");

    @Test
    void namesTestsThatAreThere() throws IOException {
        Set<String> tests = new HashSet<>();
        for (String sources : new String[] {"server/src/test", "runtime/engine/src/test"}) {
            try (Stream<Path> files = Files.walk(ROOT.resolve(sources))) {
                files.map(file -> file.getFileName().toString()).filter(name -> name.endsWith("Test.java")).map(name -> name.replace(".java", "")).forEach(tests::add);
            }
        }
        for (String row : Files.readString(ROOT.resolve("docs/security.md")).lines().filter(line -> line.startsWith("| ")).skip(1).toList()) {
            Set<String> named = NAMED.matcher(row).results().map(match -> match.group(1)).collect(Collectors.toSet());
            assertThat(named).as(row).isNotEmpty();
            assertThat(tests).as(row).containsAll(named);
        }
    }
}
