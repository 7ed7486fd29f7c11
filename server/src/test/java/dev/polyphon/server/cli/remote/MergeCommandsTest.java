package dev.polyphon.server.cli.remote;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.server.CommandLines;
import dev.polyphon.server.TestServer;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** The commands as they are typed, against a server whose merges copy nothing. */
class MergeCommandsTest {
    private final TestServer server = new TestServer();

    @AfterEach
    void stop() {
        server.close();
    }

    private String said(int status, String... arguments) {
        var all = new ArrayList<>(List.of(arguments));
        all.add(0, "adapter");
        all.addAll(List.of("--url", server.uri("").toString()));
        var said = CommandLines.run(all.toArray(String[]::new));
        assertThat(said.status()).as(said.out() + said.err()).isEqualTo(status);
        return said.out() + said.err();
    }

    @Test
    void mergesListsAndUnmerges() {
        assertThat(said(0, "merge-in", "french")).contains("french is merged (1)");
        assertThat(said(0, "merge-in", "french=0.75", "german=-0.5")).contains("french=0.75 german=-0.5 is merged (2)");
        assertThat(said(0, "merge-in", "german", "--no-wait")).contains("(3)");
        assertThat(said(0, "merges")).contains("mode never, 0.0 of 0.0 MiB").containsPattern("2 +french=0.75 german=-0.5 +merged +operator +100 % +0.0 +0 +-");
        assertThat(said(0, "unmerge", "french=0.75", "german=-0.5")).contains("is unmerged");
        assertThat(said(0, "unmerge", "3")).contains("german is unmerged");
        assertThat(said(0, "merges", "--mode", "pinned:french", "--json")).contains("\"mode\":\"pinned:french\"").contains("\"id\":\"1\"").doesNotContain("\"id\":\"2\"");
    }

    @Test
    void saysWhatIsWrong() {
        assertThat(said(1, "merge-in", "nobody")).contains("nobody is not registered");
        assertThat(said(2, "merge-in", "french=much")).contains("a weight must be a number, found much");
        assertThat(said(1, "unmerge", "french")).contains("french is not merged");
        assertThat(said(1, "merges", "--mode", "always")).contains("found 'always'");
    }
}
