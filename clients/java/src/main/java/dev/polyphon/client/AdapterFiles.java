package dev.polyphon.client;

import java.io.IOException;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.UUID;
import java.util.concurrent.Flow;
import java.util.function.LongConsumer;
import java.util.stream.Stream;

/** An adapter's files as the body of a request: an archive as it is, a folder file by file. */
record AdapterFiles(String type, BodyPublisher body) {

    /**
     * @param from a zip, a tar, packed or not, or a folder, of which what may belong to an adapter is sent
     * @param sent hears, on any thread, how many bytes have been sent
     */
    static AdapterFiles of(Path from, LongConsumer sent) throws IOException {
        if (!Files.exists(from)) {
            throw new NoSuchFileException(from.toString(), null, "there is no such file or folder");
        }
        AdapterFiles files = Files.isDirectory(from) ? folder(from) : new AdapterFiles(archiveType(from), BodyPublishers.ofFile(from));
        return new AdapterFiles(files.type, new Counting(files.body, sent));
    }

    long bytes() {
        return body.contentLength();
    }

    private static String archiveType(Path archive) throws IOException {
        String name = archive.getFileName().toString().toLowerCase(Locale.ROOT);
        if (name.endsWith(".zip")) {
            return "application/zip";
        }
        if (name.endsWith(".tar")) {
            return "application/x-tar";
        }
        if (name.endsWith(".tar.gz") || name.endsWith(".tgz")) {
            return "application/gzip";
        }
        throw new IOException(archive + " is neither a folder nor a .zip, .tar, .tar.gz or .tgz");
    }

    private static AdapterFiles folder(Path folder) throws IOException {
        String boundary = "polyphon-" + UUID.randomUUID();
        List<BodyPublisher> parts = new ArrayList<>();
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.filter(Files::isRegularFile).sorted().toList()) {
                String name = file.getFileName().toString();
                if (name.matches("[^.\"\\\\].*\\.(json|safetensors|bin)")) {
                    parts.add(text((parts.isEmpty() ? "--" : "\r\n--") + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + name
                            + "\"\r\nContent-Type: application/octet-stream\r\n\r\n"));
                    parts.add(BodyPublishers.ofFile(file));
                }
            }
        }
        if (parts.isEmpty()) {
            throw new IOException(folder + " has no files of an adapter");
        }
        parts.add(text("\r\n--" + boundary + "--\r\n"));
        return new AdapterFiles("multipart/form-data; boundary=" + boundary, BodyPublishers.concat(parts.toArray(BodyPublisher[]::new)));
    }

    private static BodyPublisher text(String text) {
        return BodyPublishers.ofString(text, StandardCharsets.UTF_8);
    }

    /** A body that tells how far it has been sent. */
    private record Counting(BodyPublisher body, LongConsumer sent) implements BodyPublisher {
        @Override
        public long contentLength() {
            return body.contentLength();
        }

        @Override
        public void subscribe(Flow.Subscriber<? super ByteBuffer> subscriber) {
            body.subscribe(new Flow.Subscriber<>() {
                private long count;

                @Override
                public void onSubscribe(Flow.Subscription subscription) {
                    subscriber.onSubscribe(subscription);
                }

                @Override
                public void onNext(ByteBuffer piece) {
                    count += piece.remaining();
                    subscriber.onNext(piece);
                    sent.accept(count);
                }

                @Override
                public void onError(Throwable failure) {
                    subscriber.onError(failure);
                }

                @Override
                public void onComplete() {
                    subscriber.onComplete();
                }
            });
        }
    }
}
