package dev.polyphon.server.cli.remote;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.client.Model;
import dev.polyphon.client.PolyphonClient;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.ConnectException;
import java.net.URI;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Option;

/** A command that asks a running server. */
abstract class Remote implements Callable<Integer> {
    static final ObjectMapper JSON = new ObjectMapper();

    @Option(names = "--url", paramLabel = "URL", defaultValue = "${POLYPHON_URL:-http://127.0.0.1:8000}",
            description = "The server; POLYPHON_URL names it too (default: ${DEFAULT-VALUE}).")
    private URI url;

    @Option(names = "--key", paramLabel = "KEY", defaultValue = "${POLYPHON_API_KEY}", description = "The API key; better given as POLYPHON_API_KEY.")
    private String key;

    @Option(names = "--json", description = "Prints JSON instead.")
    boolean json;

    @CommandLine.Spec
    private CommandLine.Model.CommandSpec spec;

    @Override
    public final Integer call() throws IOException, InterruptedException {
        try (var client = new PolyphonClient(url, key == null || key.isEmpty() ? null : key)) {
            run(client, out());
            out().flush();
            return 0;
        } catch (ConnectException e) {
            throw new IOException("nothing answers at " + url + ": is the server running?", e);
        }
    }

    abstract void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException;

    /** Whether a person looks at it as it goes. */
    static boolean onTerminal() {
        return System.console() != null && System.console().isTerminal();
    }

    /** What was done: for a person, or for a program. */
    void print(PrintWriter out, String text, Object answer) throws IOException {
        out.println(json ? JSON.writeValueAsString(answer) : text);
    }

    CommandLine commandLine() {
        return spec.commandLine();
    }

    PrintWriter out() {
        return spec.commandLine().getOut();
    }

    PrintWriter err() {
        return spec.commandLine().getErr();
    }

    /** The model that was named, or the server's base. */
    static String modelOr(String named, PolyphonClient client) throws IOException, InterruptedException {
        if (named != null) {
            return named;
        }
        return client.models().stream().filter(model -> model.base() == null).map(Model::id).findFirst()
                .orElseThrow(() -> new IOException("the server has no base model: --model names one"));
    }
}
