package dev.polyphon.server.observe;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Properties;

/** The program's version, as it was built. */
public final class Version {
    public static final String TEXT = read();

    private Version() {}

    private static String read() {
        var properties = new Properties();
        try (var in = Version.class.getResourceAsStream("version.properties")) {
            properties.load(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return properties.getProperty("version");
    }
}
