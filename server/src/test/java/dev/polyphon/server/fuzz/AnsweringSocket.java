package dev.polyphon.server.fuzz;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/** A server on a loopback port that gives each connection an answer made beforehand, whatever it asks, and closes it. */
final class AnsweringSocket {
    private final BlockingQueue<byte[]> answers = new LinkedBlockingQueue<>();
    private final ServerSocket socket;

    AnsweringSocket() {
        try {
            socket = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        Thread.ofPlatform().daemon().name("answering").start(this::run);
    }

    int port() {
        return socket.getLocalPort();
    }

    void answer(String head, byte[] body) {
        var answer = new ByteArrayOutputStream();
        answer.writeBytes(head.getBytes(StandardCharsets.US_ASCII));
        answer.writeBytes(body);
        answers.clear();
        answers.add(answer.toByteArray());
    }

    private void run() {
        while (true) {
            try (Socket client = socket.accept()) {
                client.setSoTimeout(5000);
                byte[] answer = answers.take();
                InputStream in = client.getInputStream();
                int ends = 0;
                // To the end of the request's header.
                while (ends < 2) {
                    int b = in.read();
                    ends = b < 0 ? 2 : b == '\n' ? ends + 1 : b == '\r' ? ends : 0;
                }
                client.getOutputStream().write(answer);
                client.shutdownOutput();
                in.readAllBytes();
            } catch (IOException e) {
                // The client has left.
            } catch (InterruptedException e) {
                return;
            }
        }
    }
}
