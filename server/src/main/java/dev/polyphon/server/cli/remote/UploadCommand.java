package dev.polyphon.server.cli.remote;

import com.fasterxml.jackson.databind.JsonNode;
import dev.polyphon.client.PolyphonClient;
import dev.polyphon.server.models.Progress;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter upload}. */
@Command(name = "upload", mixinStandardHelpOptions = true, sortOptions = false,
        description = "Sends an adapter's files from here to a running server, which keeps and registers them when they turn out to work.")
public final class UploadCommand extends Remote {
    @Parameters(paramLabel = "NAME", description = "What requests call it.")
    private String name;

    @Parameters(paramLabel = "PATH", description = "Its folder, or a .zip, .tar, .tar.gz or .tgz of that.")
    private Path path;

    @Option(names = "--owner", paramLabel = "TENANT", description = "Whose it is. Without it, it is everyone's.")
    private String owner;

    @Option(names = "--base", paramLabel = "MODEL", description = "Its base, where the server has several.")
    private String base;

    @Option(names = "--replace", description = "Makes it the new version of one that there is; requests under way finish on the old one.")
    private boolean replace;

    @Override
    void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
        Map<String, String> query = new LinkedHashMap<>();
        if (owner != null) {
            query.put("owner", owner);
        }
        if (base != null) {
            query.put("base", base);
        }
        if (replace) {
            query.put("replace", "true");
        }
        var progress = new Progress(System.err, onTerminal());
        boolean[] started = new boolean[1];
        JsonNode adapter;
        try {
            adapter = client.uploadAdapter(name, path, query, (sent, total) -> {
                if (!started[0]) {
                    started[0] = true;
                    progress.start(0, total);
                }
                progress.at(sent);
            });
        } finally {
            progress.finish();
        }
        print(out, name + " is uploaded: version " + adapter.path("version").asText(), adapter);
    }
}
