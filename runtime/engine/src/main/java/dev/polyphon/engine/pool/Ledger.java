package dev.polyphon.engine.pool;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polyphon.engine.pool.Registered.Version;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterSource;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Keeps registered adapters in an SQLite database. A change is on the disk when {@link #write} returns, all of it or nothing, whatever happens to the process
 * afterwards: the journal is written ahead and synced with each transaction.
 *
 * <p>For one process at a time, which the database's lock enforces, and one thread at a time.
 */
final class Ledger implements AutoCloseable {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final TypeReference<Map<String, String>> LABELS = new TypeReference<>() {};

    private final Connection connection;

    private Ledger(Connection connection) {
        this.connection = connection;
    }

    /** Opens a database, and makes it when there is none. @param file null to keep it in memory, as long as it is open */
    static Ledger open(Path file) throws IOException {
        if (file != null) {
            Files.createDirectories(file.toAbsolutePath().getParent());
        }
        Connection connection = null;
        try {
            connection = DriverManager.getConnection("jdbc:sqlite:" + (file == null ? ":memory:" : file.toAbsolutePath()));
            try (Statement sql = connection.createStatement()) {
                sql.execute("PRAGMA locking_mode = EXCLUSIVE");
                sql.execute("PRAGMA journal_mode = WAL");
                sql.execute("PRAGMA synchronous = FULL");
                sql.execute("CREATE TABLE IF NOT EXISTS adapter (base TEXT, owner TEXT, name TEXT, current INTEGER NOT NULL, labels TEXT NOT NULL, "
                        + "pinned INTEGER NOT NULL, deleted INTEGER NOT NULL, PRIMARY KEY (base, owner, name)) WITHOUT ROWID");
                sql.execute("CREATE TABLE IF NOT EXISTS version (number INTEGER PRIMARY KEY, base TEXT NOT NULL, owner TEXT NOT NULL, name TEXT NOT NULL, "
                        + "hash TEXT NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL, registered INTEGER NOT NULL)");
            }
            connection.setAutoCommit(false);
            return new Ledger(connection);
        } catch (SQLException e) {
            close(connection, e);
            throw new IOException("cannot open the registry " + file + ": " + e.getMessage(), e);
        }
    }

    private static void close(Connection connection, SQLException because) {
        try {
            if (connection != null) {
                connection.close();
            }
        } catch (SQLException e) {
            because.addSuppressed(e);
        }
    }

    /** All adapters of a base, removed ones too. */
    List<Registered> read(String base) throws IOException {
        try (PreparedStatement versions = connection.prepareStatement("SELECT owner, name, number, hash, kind, source, registered FROM version "
                + "WHERE base = ? ORDER BY number");
                PreparedStatement adapters = connection.prepareStatement("SELECT owner, name, current, labels, pinned, deleted FROM adapter WHERE base = ?")) {
            Map<AdapterId, List<Version>> byId = new HashMap<>();
            versions.setString(1, base);
            try (ResultSet row = versions.executeQuery()) {
                while (row.next()) {
                    byId.computeIfAbsent(new AdapterId(row.getString(1), row.getString(2)), id -> new ArrayList<>(1)).add(new Version(row.getLong(3),
                            row.getString(4), row.getString(5), AdapterSource.parse(row.getString(6)), Instant.ofEpochMilli(row.getLong(7))));
                }
            }
            List<Registered> all = new ArrayList<>();
            adapters.setString(1, base);
            try (ResultSet row = adapters.executeQuery()) {
                while (row.next()) {
                    AdapterId id = new AdapterId(row.getString(1), row.getString(2));
                    long deleted = row.getLong(6);
                    all.add(new Registered(id, row.getLong(3), byId.get(id), JSON.readValue(row.getString(4), LABELS), row.getBoolean(5),
                            deleted == 0 ? null : Instant.ofEpochMilli(deleted)));
                }
            }
            connection.commit();
            return all;
        } catch (SQLException e) {
            throw new IOException("cannot read the registry: " + e.getMessage(), e);
        }
    }

    /** The highest number of a version so far, of any base. */
    long lastNumber() throws IOException {
        try (Statement sql = connection.createStatement(); ResultSet row = sql.executeQuery("SELECT max(number) FROM version")) {
            return row.next() ? row.getLong(1) : 0;
        } catch (SQLException e) {
            throw new IOException("cannot read the registry: " + e.getMessage(), e);
        }
    }

    /** The hashes of the versions of all bases whose source is like this, in SQL's sense. */
    Set<String> hashes(String source) throws IOException {
        try (PreparedStatement sql = connection.prepareStatement("SELECT DISTINCT hash FROM version WHERE source LIKE ?")) {
            sql.setString(1, source);
            Set<String> hashes = new HashSet<>();
            try (ResultSet row = sql.executeQuery()) {
                while (row.next()) {
                    hashes.add(row.getString(1));
                }
            }
            return hashes;
        } catch (SQLException e) {
            throw new IOException("cannot read the registry: " + e.getMessage(), e);
        }
    }

    /** An adapter as it is now, and those of its versions that are new or have changed. */
    record Change(Registered adapter, List<Version> versions) {}

    /** Writes changes, all or none. */
    void write(String base, List<Change> changes) throws IOException {
        try (PreparedStatement adapters = connection.prepareStatement("INSERT OR REPLACE INTO adapter VALUES (?, ?, ?, ?, ?, ?, ?)");
                PreparedStatement versions = connection.prepareStatement("INSERT OR REPLACE INTO version VALUES (?, ?, ?, ?, ?, ?, ?, ?)")) {
            for (Change change : changes) {
                Registered one = change.adapter;
                adapters.setString(1, base);
                adapters.setString(2, one.id().owner());
                adapters.setString(3, one.id().name());
                adapters.setLong(4, one.number());
                adapters.setString(5, JSON.writeValueAsString(one.labels()));
                adapters.setBoolean(6, one.pinned());
                adapters.setLong(7, one.deleted() == null ? 0 : one.deleted().toEpochMilli());
                adapters.execute();
                for (Version version : change.versions) {
                    versions.setLong(1, version.number());
                    versions.setString(2, base);
                    versions.setString(3, one.id().owner());
                    versions.setString(4, one.id().name());
                    versions.setString(5, version.hash());
                    versions.setString(6, version.kind());
                    versions.setString(7, version.source().uri());
                    versions.setLong(8, version.registered().toEpochMilli());
                    versions.execute();
                }
            }
            connection.commit();
        } catch (SQLException | JsonProcessingException e) {
            throw failed(e);
        }
    }

    /** Forgets an adapter and all its versions. */
    void delete(String base, AdapterId id) throws IOException {
        try {
            for (String table : List.of("adapter", "version")) {
                try (PreparedStatement sql = connection.prepareStatement("DELETE FROM " + table + " WHERE base = ? AND owner = ? AND name = ?")) {
                    sql.setString(1, base);
                    sql.setString(2, id.owner());
                    sql.setString(3, id.name());
                    sql.execute();
                }
            }
            connection.commit();
        } catch (SQLException e) {
            throw failed(e);
        }
    }

    /** Takes back what a transaction that failed has done. */
    private IOException failed(Exception e) {
        try {
            connection.rollback();
        } catch (SQLException ended) {
            e.addSuppressed(ended);
            // SQLite has ended it itself, as it does when the disk is full; the driver begins another only behind one that it ended.
            try (Statement sql = connection.createStatement()) {
                sql.execute("BEGIN");
            } catch (SQLException again) {
                e.addSuppressed(again);
            }
        }
        return new IOException("cannot write the registry: " + e.getMessage(), e);
    }

    @Override
    public void close() throws IOException {
        try {
            connection.close();
        } catch (SQLException e) {
            throw new IOException("cannot close the registry: " + e.getMessage(), e);
        }
    }
}
