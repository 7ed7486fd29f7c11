package dev.polyphon.server.cli.remote;

import dev.polyphon.client.PolyphonClient;
import dev.polyphon.client.Request;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code polyphon complete}. */
@Command(name = "complete", mixinStandardHelpOptions = true, sortOptions = false,
        description = "Has a running server continue a text, and prints what it adds as it comes.")
public final class CompleteCommand extends Generating {
    @Parameters(paramLabel = "TEXT", arity = "0..1", description = "The text to continue; - or none reads it from the standard input.")
    private String text;

    @Override
    void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
        String prompt = text == null || text.equals("-") ? new String(System.in.readAllBytes(), StandardCharsets.UTF_8) : text;
        var request = new Request.Completion(modelOr(model, client), prompt, fields());
        if (json) {
            print(out, client.ask(request));
        } else {
            client.stream(request, piece -> print(out, piece));
            out.println();
        }
    }
}
