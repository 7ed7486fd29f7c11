package dev.polyphon.server.http;

import io.netty.buffer.ByteBufAllocator;
import io.netty.handler.codec.http2.Http2SecurityUtil;
import io.netty.handler.ssl.ApplicationProtocolConfig;
import io.netty.handler.ssl.ApplicationProtocolNames;
import io.netty.handler.ssl.ClientAuth;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslHandler;
import io.netty.handler.ssl.SslProvider;
import io.netty.handler.ssl.SupportedCipherSuiteFilter;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.Signature;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The server's certificate. Its files are looked at again and again, and when they have changed, connections made from then on get what is new;
 * those that are open stay as they are. Files that cannot be used, such as a certificate whose key has not been written yet, change nothing.
 */
final class Certificates implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Certificates.class);
    private static final ApplicationProtocolConfig PROTOCOLS = new ApplicationProtocolConfig(
            ApplicationProtocolConfig.Protocol.ALPN,
            ApplicationProtocolConfig.SelectorFailureBehavior.NO_ADVERTISE,
            ApplicationProtocolConfig.SelectedListenerFailureBehavior.ACCEPT,
            ApplicationProtocolNames.HTTP_2,
            ApplicationProtocolNames.HTTP_1_1);

    /** What the files hold. */
    private record Contents(byte[] certificate, byte[] key, byte[] clientAuthorities) {
        boolean same(Contents other) {
            return Arrays.equals(certificate, other.certificate) && Arrays.equals(key, other.key) && Arrays.equals(clientAuthorities, other.clientAuthorities);
        }
    }

    private final TlsSettings settings;
    private final Duration handshakeTimeout;
    private final HttpObserver observer;
    private final Thread watch;
    private Contents seen;
    private volatile SslContext context;

    /**
     * Reads the files, and looks at them again until this is closed.
     *
     * @throws IOException that names the file when one cannot be used
     */
    Certificates(TlsSettings settings, Duration handshakeTimeout, HttpObserver observer) throws IOException {
        this.settings = settings;
        this.handshakeTimeout = handshakeTimeout;
        this.observer = observer;
        seen = read();
        context = use(seen);
        watch = Thread.ofVirtual().name("certificates").start(this::watch);
    }

    /** A connection's way into TLS: the first handler of its pipeline. */
    SslHandler handler(ByteBufAllocator allocator) {
        // Signatures are computed apart: event loops must not be kept from other connections.
        SslHandler handler = context.newHandler(allocator, task -> Thread.ofVirtual().name("tls").start(task));
        handler.setHandshakeTimeoutMillis(handshakeTimeout.toMillis());
        return handler;
    }

    private void watch() {
        try {
            while (true) {
                Thread.sleep(settings.lookEvery());
                look();
            }
        } catch (InterruptedException e) {
            // Closed.
        }
    }

    private void look() {
        try {
            Contents now = read();
            if (!now.same(seen)) {
                seen = now;
                context = use(now);
            }
        } catch (IOException e) {
            observer.certificateRefused();
            LOG.warn("{}; the certificate before stays in use", e.getMessage());
        }
    }

    private Contents read() throws IOException {
        return new Contents(bytes(settings.certificate()), bytes(settings.key()), settings.clientAuthorities() == null ? null : bytes(settings.clientAuthorities()));
    }

    private static byte[] bytes(Path file) throws IOException {
        try {
            return Files.readAllBytes(file);
        } catch (NoSuchFileException e) {
            throw new IOException("there is no file " + file, e);
        } catch (IOException e) {
            throw new IOException("cannot read " + file + ": " + e.getMessage(), e);
        }
    }

    private SslContext use(Contents contents) throws IOException {
        X509Certificate[] chain = certificates(settings.certificate(), contents.certificate);
        PrivateKey key;
        try {
            key = PrivateKeyPem.read(new String(contents.key, StandardCharsets.ISO_8859_1));
        } catch (GeneralSecurityException e) {
            throw new IOException("cannot use " + settings.key() + ": " + e.getMessage(), e);
        }
        if (!belong(chain[0], key)) {
            throw new IOException(settings.key() + " is not the private key of the certificate in " + settings.certificate());
        }
        var builder = SslContextBuilder.forServer(key, chain)
                .sslProvider(SslProvider.JDK)
                .protocols("TLSv1.3", "TLSv1.2")
                .ciphers(Http2SecurityUtil.CIPHERS, SupportedCipherSuiteFilter.INSTANCE)
                .applicationProtocolConfig(PROTOCOLS);
        if (contents.clientAuthorities != null) {
            builder.clientAuth(ClientAuth.REQUIRE).trustManager(certificates(settings.clientAuthorities(), contents.clientAuthorities));
        }
        SslContext made = builder.build();
        Instant end = chain[0].getNotAfter().toInstant();
        observer.certificate(end);
        LOG.info("TLS with the certificate of {}, which holds until {}", chain[0].getSubjectX500Principal(), end);
        if (end.isBefore(Instant.now())) {
            LOG.warn("the certificate in {} has expired: clients will refuse it", settings.certificate());
        }
        return made;
    }

    private static X509Certificate[] certificates(Path file, byte[] pem) throws IOException {
        try {
            X509Certificate[] all = CertificateFactory.getInstance("X.509").generateCertificates(new ByteArrayInputStream(pem)).toArray(X509Certificate[]::new);
            if (all.length == 0) {
                throw new IOException("there is no certificate in " + file);
            }
            return all;
        } catch (GeneralSecurityException e) {
            throw new IOException("cannot use " + file + ": it must hold certificates in PEM: " + e.getMessage(), e);
        }
    }

    /** Whether what the key signs is found good by the certificate. */
    private static boolean belong(X509Certificate certificate, PrivateKey key) {
        String algorithm = switch (key.getAlgorithm()) {
            case "RSA" -> "SHA256withRSA";
            case "EC" -> "SHA256withECDSA";
            default -> key.getAlgorithm();
        };
        byte[] message = new byte[32];
        new SecureRandom().nextBytes(message);
        try {
            Signature signature = Signature.getInstance(algorithm);
            signature.initSign(key);
            signature.update(message);
            byte[] signed = signature.sign();
            signature.initVerify(certificate.getPublicKey());
            signature.update(message);
            return signature.verify(signed);
        } catch (GeneralSecurityException e) {
            return false;
        }
    }

    @Override
    public void close() {
        watch.interrupt();
    }
}
