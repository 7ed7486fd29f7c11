package dev.polyphon.server.cli.batch;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * The answers of a batch, a JSON object on each line: {@code {"id": "batch_req_...", "custom_id": "1", "response": {"status_code": 200, "request_id": "...",
 * "body": {...}}, "error": null}}, in the order they came. A file that is there already is gone on with. For one thread at a time, and for one process:
 * the file is locked.
 *
 * @see <a href="https://platform.openai.com/docs/api-reference/batch/request-output">OpenAI: the request output object</a>
 */
public final class BatchOutput implements AutoCloseable {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Path path;
    private final Set<String> done = new HashSet<>();
    /** The last is written to; one before it is held for its lock alone. */
    private final List<RandomAccessFile> files = new ArrayList<>();
    private int failed;

    private BatchOutput(Path path) {
        this.path = path;
    }

    /**
     * Opens a file to go on with, or a new one. Half a last line, which a crash may leave, is taken away.
     *
     * @param asked the ids of all requests
     * @param again whether to forget those lines that tell of a failure
     * @throws IOException when it cannot be used, or is something else than these requests' answers
     */
    public static BatchOutput open(Path path, Set<String> asked, boolean again) throws IOException {
        var output = new BatchOutput(path);
        try {
            output.lock();
            long good = output.read(asked);
            if (again && output.failed > 0) {
                output.keepAnswers(good);
            } else {
                output.file().setLength(good);
            }
            output.file().seek(output.file().length());
            return output;
        } catch (IOException | RuntimeException e) {
            output.close();
            throw e;
        }
    }

    private void lock() throws IOException {
        var file = new RandomAccessFile(path.toFile(), "rw");
        files.add(file);
        try {
            if (file.getChannel().tryLock() != null) {
                return;
            }
        } catch (OverlappingFileLockException e) {
            // Locked within this process: as bad as by another.
        }
        throw new IOException(path + " is being written by another run");
    }

    private RandomAccessFile file() {
        return files.getLast();
    }

    /** Takes note of what is there, and returns the bytes of whole lines. */
    private long read(Set<String> asked) throws IOException {
        long good = 0;
        int number = 0;
        try (var in = new BufferedInputStream(Files.newInputStream(path))) {
            var line = new ByteArrayOutputStream();
            while (line(in, line)) {
                number++;
                JsonNode answer = parse(line, number);
                String id = answer.path("custom_id").asText();
                if (!asked.contains(id)) {
                    throw new IOException(path + ":" + number + ": answers '" + id + "', which is not among the requests: is it another batch's output?");
                }
                done.add(id);
                failed += failed(answer) ? 1 : 0;
                good += line.size();
            }
        }
        return good;
    }

    /** The next line with its end; false when there is no whole one. */
    private static boolean line(InputStream in, ByteArrayOutputStream line) throws IOException {
        line.reset();
        for (int next = in.read(); next >= 0; next = in.read()) {
            line.write(next);
            if (next == '\n') {
                return true;
            }
        }
        return false;
    }

    private JsonNode parse(ByteArrayOutputStream line, int number) throws IOException {
        try {
            JsonNode answer = JSON.readTree(line.toByteArray());
            if (answer.path("custom_id").isTextual() && answer.has("response") && answer.has("error")) {
                return answer;
            }
        } catch (JsonProcessingException e) {
            // Told below: no such line was written here.
        }
        throw new IOException(path + ":" + number + ": no line of a batch's output; the file is left as it is");
    }

    static boolean failed(JsonNode answer) {
        return !answer.path("error").isNull() || answer.path("response").path("status_code").asInt() / 100 != 2;
    }

    /** Puts a file in the place of this one that has its answers without the failures. */
    private void keepAnswers(long good) throws IOException {
        done.clear();
        failed = 0;
        Path kept = path.resolveSibling(path.getFileName() + ".part");
        try (var in = new BufferedInputStream(Files.newInputStream(path)); OutputStream out = new BufferedOutputStream(Files.newOutputStream(kept))) {
            var line = new ByteArrayOutputStream();
            for (long at = 0; at < good && line(in, line); at += line.size()) {
                JsonNode answer = JSON.readTree(line.toByteArray());
                if (!failed(answer)) {
                    done.add(answer.path("custom_id").asText());
                    line.writeTo(out);
                }
            }
        }
        Files.move(kept, path, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
        lock();
    }

    /** The ids of requests that have their line. */
    Set<String> done() {
        return done;
    }

    /** Those of the lines found that tell of a failure. */
    int failed() {
        return failed;
    }

    /** Adds a line, whole or not at all. */
    void add(ObjectNode answer) throws IOException {
        RandomAccessFile file = file();
        long before = file.getFilePointer();
        try {
            file.write((JSON.writeValueAsString(answer) + "\n").getBytes(StandardCharsets.UTF_8));
        } catch (IOException e) {
            file.setLength(before);
            throw new IOException("cannot write to " + path + ": " + e.getMessage(), e);
        }
    }

    @Override
    public void close() throws IOException {
        for (RandomAccessFile file : files) {
            file.close();
        }
    }
}
