package dev.polyphon.server.http;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.util.Base64;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** A certificate for 127.0.0.1 that was signed with its own key, made by the JDK's {@code keytool}. */
public record TestCertificate(X509Certificate certificate, PrivateKey key) {
    private static final char[] PASSWORD = "unimportant".toCharArray();

    /** @param keyAlgorithm {@code RSA}, {@code EC} or {@code Ed25519} */
    public static TestCertificate make(Path folder, String keyAlgorithm) {
        Path store = folder.resolve("store-" + System.nanoTime() + ".p12");
        try {
            Process keytool = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "keytool").toString(), "-genkeypair", "-keystore", store.toString(),
                    "-storepass", new String(PASSWORD), "-alias", "a", "-keyalg", keyAlgorithm, "-dname", "CN=Polyphon's tests", "-ext", "san=ip:127.0.0.1", "-validity", "7",
                    "-ext", "bc=ca:true").redirectErrorStream(true).start();
            String said = new String(keytool.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            if (keytool.waitFor() != 0) {
                throw new IllegalStateException(said);
            }
            var entries = KeyStore.getInstance("PKCS12");
            try (InputStream in = Files.newInputStream(store)) {
                entries.load(in, PASSWORD);
            }
            return new TestCertificate((X509Certificate) entries.getCertificate("a"), (PrivateKey) entries.getKey("a", PASSWORD));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (GeneralSecurityException | InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    static String pem(String kind, byte[] der) {
        return "-----BEGIN " + kind + "-----\n" + Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(der) + "\n-----END " + kind + "-----\n";
    }

    public String certificatePem() {
        try {
            return pem("CERTIFICATE", certificate.getEncoded());
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    public String keyPem() {
        return pem("PRIVATE KEY", key.getEncoded());
    }

    /** Writes both into files, each at once, as tools do that renew certificates. */
    void writeTo(Path certificateFile, Path keyFile) throws IOException {
        replace(certificateFile, certificatePem());
        replace(keyFile, keyPem());
    }

    static void replace(Path file, String text) throws IOException {
        Path beside = file.resolveSibling(file.getFileName() + ".new");
        Files.writeString(beside, text);
        Files.move(beside, file, java.nio.file.StandardCopyOption.ATOMIC_MOVE);
    }

    /** What a client needs that trusts these certificates. */
    public static SSLContext trusting(TestCertificate own, TestCertificate... trusted) {
        try {
            var roots = KeyStore.getInstance(KeyStore.getDefaultType());
            roots.load(null, null);
            for (TestCertificate one : trusted) {
                roots.setCertificateEntry(one.certificate.getSerialNumber().toString(), one.certificate);
            }
            var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(roots);
            KeyManagerFactory keys = null;
            if (own != null) {
                var mine = KeyStore.getInstance(KeyStore.getDefaultType());
                mine.load(null, null);
                mine.setKeyEntry("a", own.key, PASSWORD, new X509Certificate[] {own.certificate});
                keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
                keys.init(mine, PASSWORD);
            }
            var context = SSLContext.getInstance("TLS");
            context.init(keys == null ? null : keys.getKeyManagers(), trust.getTrustManagers(), null);
            return context;
        } catch (GeneralSecurityException | IOException e) {
            throw new IllegalStateException(e);
        }
    }
}
