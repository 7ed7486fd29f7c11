package dev.polyphon.server.http;

import java.io.ByteArrayOutputStream;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.security.InvalidKeyException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.regex.Pattern;

/** Reads private keys in PEM: PKCS #8 (RFC 5958), and those for RSA (RFC 8017, PKCS #1) and elliptic curves (RFC 5915, SEC 1), which become PKCS #8. */
final class PrivateKeyPem {
    private static final Pattern BLOCK = Pattern.compile("-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----(.*?)-----END \\1-----", Pattern.DOTALL);
    private static final List<String> ALGORITHMS = List.of("RSA", "EC", "EdDSA");
    private static final byte[] VERSION_0 = HexFormat.of().parseHex("020100");
    private static final byte[] RSA = HexFormat.of().parseHex("300d06092a864886f70d0101010500");
    private static final byte[] EC = HexFormat.of().parseHex("06072a8648ce3d0201");
    private static final int INTEGER = 0x02;
    private static final int OCTETS = 0x04;
    private static final int SEQUENCE = 0x30;
    private static final int PARAMETERS = 0xa0;

    private PrivateKeyPem() {}

    /** The first private key in a text. What is wrong is told without any of the key. */
    static PrivateKey read(String pem) throws GeneralSecurityException {
        var block = BLOCK.matcher(pem);
        if (!block.find()) {
            throw new InvalidKeyException("there is no private key in PEM in it");
        }
        String kind = block.group(1);
        if (kind.startsWith("ENCRYPTED") || block.group(2).contains(":")) {
            throw new InvalidKeyException("the private key is encrypted: decrypt it, and let its file's mode protect it");
        }
        byte[] der;
        try {
            der = Base64.getMimeDecoder().decode(block.group(2));
        } catch (IllegalArgumentException e) {
            throw new InvalidKeyException("the private key is not in base64");
        }
        return switch (kind) {
            case "PRIVATE KEY" -> key(der);
            case "RSA PRIVATE KEY" -> key(pkcs8(RSA, der));
            case "EC PRIVATE KEY" -> key(pkcs8(element(SEQUENCE, EC, curve(der)), der));
            default -> throw new InvalidKeyException("a key in the form '" + kind + "' is not supported: use PRIVATE KEY (PKCS #8), RSA or EC PRIVATE KEY");
        };
    }

    private static PrivateKey key(byte[] pkcs8) throws GeneralSecurityException {
        for (String algorithm : ALGORITHMS) {
            try {
                return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(pkcs8));
            } catch (InvalidKeySpecException e) {
                // Perhaps it is one of the next.
            }
        }
        throw new InvalidKeyException("the private key is none of " + String.join(", ", ALGORITHMS));
    }

    private static byte[] pkcs8(byte[] algorithm, byte[] key) {
        return element(SEQUENCE, VERSION_0, algorithm, element(OCTETS, key));
    }

    /** The curve that an elliptic key names. */
    private static byte[] curve(byte[] der) throws InvalidKeyException {
        try {
            ByteBuffer key = content(ByteBuffer.wrap(der), SEQUENCE);
            content(key, INTEGER);
            content(key, OCTETS);
            ByteBuffer name = content(key, PARAMETERS);
            byte[] bytes = new byte[name.remaining()];
            name.get(bytes);
            return bytes;
        } catch (BufferUnderflowException | IndexOutOfBoundsException e) {
            throw new InvalidKeyException("the private key does not name its curve");
        }
    }

    /** Takes an element of a certain tag. */
    private static ByteBuffer content(ByteBuffer in, int tag) {
        if ((in.get() & 0xff) != tag) {
            throw new BufferUnderflowException();
        }
        int length = in.get() & 0xff;
        if (length >= 0x80) {
            int bytes = length & 0x7f;
            length = 0;
            for (int i = 0; i < bytes; i++) {
                length = length << 8 | in.get() & 0xff;
            }
        }
        ByteBuffer content = in.slice(in.position(), length);
        in.position(in.position() + length);
        return content;
    }

    private static byte[] element(int tag, byte[]... contents) {
        int length = 0;
        for (byte[] content : contents) {
            length += content.length;
        }
        var out = new ByteArrayOutputStream(length + 4);
        out.write(tag);
        if (length < 0x80) {
            out.write(length);
        } else {
            out.write(0x82);
            out.write(length >> 8);
            out.write(length);
        }
        for (byte[] content : contents) {
            out.writeBytes(content);
        }
        return out.toByteArray();
    }
}
