package dev.polyphon.server.cli.remote;

import dev.polyphon.client.Answer;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.LinkedHashMap;
import java.util.Map;
import picocli.CommandLine.Option;

/** A command that asks for tokens. */
abstract class Generating extends Remote {
    @Option(names = {"-m", "--model"}, paramLabel = "NAME", description = "A base or an adapter (default: the server's base).")
    String model;

    @Option(names = "--max-tokens", paramLabel = "N", description = "Most tokens of an answer (default: ${DEFAULT-VALUE}).")
    int maxTokens = 256;

    @Option(names = "--temperature", paramLabel = "T", description = "0 takes the likeliest token each time (default: the server's).")
    Double temperature;

    @Option(names = "--seed", paramLabel = "N", description = "Makes the answer reproducible.")
    Long seed;

    Map<String, Object> fields() {
        var fields = new LinkedHashMap<String, Object>();
        fields.put("max_tokens", maxTokens);
        if (temperature != null) {
            fields.put("temperature", temperature);
        }
        if (seed != null) {
            fields.put("seed", seed);
        }
        return fields;
    }

    static void print(PrintWriter out, String piece) {
        out.print(piece);
        out.flush();
    }

    static void print(PrintWriter out, Answer answer) throws IOException {
        out.println(JSON.writeValueAsString(answer));
    }
}
