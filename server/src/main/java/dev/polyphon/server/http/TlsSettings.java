package dev.polyphon.server.http;

import java.nio.file.Path;
import java.time.Duration;

/**
 * How the server speaks TLS.
 *
 * @param certificate PEM: the server's certificate, and behind it those that lead to its root
 * @param key PEM: the certificate's private key
 * @param clientAuthorities PEM: a client must show a certificate that leads to one of these; null when none is asked for
 * @param lookEvery how often to look whether the files have changed
 */
public record TlsSettings(Path certificate, Path key, Path clientAuthorities, Duration lookEvery) {}
