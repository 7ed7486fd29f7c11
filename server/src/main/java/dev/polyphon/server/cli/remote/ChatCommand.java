package dev.polyphon.server.cli.remote;

import dev.polyphon.client.Answer;
import dev.polyphon.client.Message;
import dev.polyphon.client.PolyphonClient;
import dev.polyphon.client.PolyphonException;
import dev.polyphon.client.Request;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon chat}. */
@Command(name = "chat", mixinStandardHelpOptions = true, sortOptions = false,
        description = {"Talks with a running server: a line is a message, answered as it comes. An empty line does nothing, Ctrl-D ends.",
            "/model NAME goes on with another model or adapter, /clear forgets the conversation."})
public final class ChatCommand extends Generating {
    @Parameters(paramLabel = "MESSAGE", arity = "0..1", description = "Asks this alone instead of reading messages.")
    private String message;

    @Option(names = "--system", paramLabel = "TEXT", description = "A system message before all others.")
    private String system;

    private final List<Message> turns = new ArrayList<>();

    @Override
    void run(PolyphonClient client, PrintWriter out) throws IOException, InterruptedException {
        model = modelOr(model, client);
        clear();
        if (message != null) {
            turn(client, out, message);
            return;
        }
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        prompt();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            try {
                take(client, out, line.strip());
            } catch (PolyphonException e) {
                err().println(e.getMessage());
            }
            prompt();
        }
        err().println();
    }

    private void prompt() {
        err().print(model + "> ");
        err().flush();
    }

    private void clear() {
        turns.clear();
        if (system != null) {
            turns.add(Message.system(system));
        }
    }

    private void take(PolyphonClient client, PrintWriter out, String line) throws IOException, InterruptedException {
        if (line.startsWith("/model ")) {
            model = line.substring("/model ".length()).strip();
        } else if (line.equals("/clear")) {
            clear();
        } else if (line.startsWith("/")) {
            err().println("there are /model NAME and /clear");
        } else if (!line.isEmpty()) {
            turn(client, out, line);
        }
    }

    private void turn(PolyphonClient client, PrintWriter out, String text) throws IOException, InterruptedException {
        turns.add(Message.user(text));
        try {
            var request = new Request.Chat(model, turns, fields());
            Answer answer = json ? client.ask(request) : client.stream(request, piece -> print(out, piece));
            turns.add(Message.assistant(answer.text()));
            if (json) {
                print(out, answer);
            } else {
                out.println();
            }
            out.flush();
        } catch (IOException e) {
            turns.removeLast();
            throw e;
        }
    }
}
