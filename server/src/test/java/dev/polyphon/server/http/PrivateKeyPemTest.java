package dev.polyphon.server.http;

import static dev.polyphon.server.http.TestCertificate.pem;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayOutputStream;
import java.security.GeneralSecurityException;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.interfaces.ECPrivateKey;
import java.security.spec.ECGenParameterSpec;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import org.junit.jupiter.api.Test;

class PrivateKeyPemTest {
    private static PrivateKey rsa() throws GeneralSecurityException {
        var generator = KeyPairGenerator.getInstance("RSA");
        generator.initialize(2048);
        return generator.generateKeyPair().getPrivate();
    }

    private static ECPrivateKey ec() throws GeneralSecurityException {
        var generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        return (ECPrivateKey) generator.generateKeyPair().getPrivate();
    }

    /** What is in PKCS #8's last element: behind a header of 26 bytes for RSA of 2048 bits. */
    private static byte[] pkcs1(PrivateKey rsa) {
        return Arrays.copyOfRange(rsa.getEncoded(), 26, rsa.getEncoded().length);
    }

    private static byte[] sec1(ECPrivateKey key, boolean withCurve) {
        byte[] number = key.getS().toByteArray();
        var out = new ByteArrayOutputStream();
        byte[] curve = HexFormat.of().parseHex("a00a06082a8648ce3d030107");
        out.write(0x30);
        out.write(3 + 2 + 32 + (withCurve ? curve.length : 0));
        out.writeBytes(new byte[] {2, 1, 1, 4, 32});
        out.writeBytes(new byte[Math.max(0, 32 - number.length)]);
        out.write(number, Math.max(0, number.length - 32), Math.min(32, number.length));
        if (withCurve) {
            out.writeBytes(curve);
        }
        return out.toByteArray();
    }

    @Test
    void readsEveryForm() throws GeneralSecurityException {
        PrivateKey rsa = rsa();
        ECPrivateKey ec = ec();
        PrivateKey edwards = KeyPairGenerator.getInstance("Ed25519").generateKeyPair().getPrivate();
        for (PrivateKey key : new PrivateKey[] {rsa, ec, edwards}) {
            assertThat(PrivateKeyPem.read(pem("PRIVATE KEY", key.getEncoded())).getEncoded()).isEqualTo(key.getEncoded());
        }
        assertThat(PrivateKeyPem.read(pem("RSA PRIVATE KEY", pkcs1(rsa)))).isEqualTo(rsa);
        String parameters = pem("EC PARAMETERS", HexFormat.of().parseHex("06082a8648ce3d030107"));
        assertThat(((ECPrivateKey) PrivateKeyPem.read(parameters + pem("EC PRIVATE KEY", sec1(ec, true)))).getS()).isEqualTo(ec.getS());
    }

    @Test
    void saysWhatIsWrong() throws GeneralSecurityException {
        refused("", "no private key");
        refused("-----BEGIN PRIVATE KEY-----\nabc", "no private key");
        refused(pem("ENCRYPTED PRIVATE KEY", new byte[8]), "encrypted");
        refused("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n", "encrypted");
        refused(pem("DSA PRIVATE KEY", new byte[8]), "'DSA PRIVATE KEY' is not supported");
        refused(pem("EC PRIVATE KEY", sec1(ec(), false)), "does not name its curve");
        refused(pem("PRIVATE KEY", new byte[8]), "none of RSA");
    }

    private static void refused(String text, String why) {
        assertThatThrownBy(() -> PrivateKeyPem.read(text)).isInstanceOf(GeneralSecurityException.class).hasMessageContaining(why);
    }

    /** Whatever has been done to a file, what is thrown says so, and is nothing else. */
    @Test
    void survivesDamage() throws GeneralSecurityException {
        var random = new Random(1);
        byte[][] keys = {pkcs1(rsa()), sec1(ec(), true), ec().getEncoded()};
        String[] kinds = {"RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY"};
        for (int i = 0; i < 3000; i++) {
            byte[] damaged = Arrays.copyOf(keys[i % 3], random.nextInt(1, keys[i % 3].length + 1));
            damaged[random.nextInt(damaged.length)] = (byte) random.nextInt();
            try {
                PrivateKeyPem.read(pem(kinds[i % 3], damaged));
            } catch (GeneralSecurityException e) {
                assertThat(e.getMessage()).isNotEmpty();
            }
        }
    }
}
