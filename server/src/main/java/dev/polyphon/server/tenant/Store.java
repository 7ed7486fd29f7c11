package dev.polyphon.server.tenant;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.sqlite.SQLiteErrorCode;

/**
 * Tenants, keys, usage and the audit log in an SQLite database, {@code tenants.db} in a folder. What a method wrote is on the disk when it returns, all of
 * it or nothing. For one process at a time, which the database's lock enforces; may be used from any thread, and waits for the disk.
 */
public final class Store implements AutoCloseable {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final long HOUR = Duration.ofHours(1).toSeconds();

    private static final String[] SCHEMA = {
        "PRAGMA locking_mode = EXCLUSIVE",
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "CREATE TABLE IF NOT EXISTS tenant (name TEXT PRIMARY KEY, created INTEGER NOT NULL, fields TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS key (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, role TEXT NOT NULL, hash TEXT NOT NULL, label TEXT NOT NULL, "
                + "created INTEGER NOT NULL, expires INTEGER, revoked INTEGER) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS usage (hour INTEGER, tenant TEXT, model TEXT, adapter TEXT, requests INTEGER NOT NULL, prompt INTEGER NOT NULL, "
                + "cached INTEGER NOT NULL, generated INTEGER NOT NULL, millis INTEGER NOT NULL, estimated INTEGER NOT NULL, "
                + "PRIMARY KEY (hour, tenant, model, adapter)) WITHOUT ROWID",
        // The last second's usage, as long as the server is under way: found at a start, it tells what a second was worth before the crash.
        "CREATE TABLE IF NOT EXISTS second (hour INTEGER, tenant TEXT, model TEXT, adapter TEXT, tokens INTEGER NOT NULL)",
        "CREATE TABLE IF NOT EXISTS audit (number INTEGER PRIMARY KEY, time INTEGER NOT NULL, tenant TEXT NOT NULL, key TEXT NOT NULL, remote TEXT NOT NULL, "
                + "action TEXT NOT NULL, status INTEGER NOT NULL)",
    };

    private static final String ADD_USAGE = "INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            + "requests = requests + excluded.requests, prompt = prompt + excluded.prompt, cached = cached + excluded.cached, "
            + "generated = generated + excluded.generated, millis = millis + excluded.millis, estimated = estimated + excluded.estimated";

    private final Connection connection;

    private Store(Connection connection) {
        this.connection = connection;
    }

    /** Opens the store in a folder, and makes both when there are none, for their owner's eyes only. */
    public static Store open(Path folder) throws IOException {
        Path file = folder.resolve("tenants.db").toAbsolutePath();
        Files.createDirectories(folder);
        if (Files.notExists(file) && file.getFileSystem().supportedFileAttributeViews().contains("posix")) {
            Files.createFile(file, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
        }
        Connection connection = null;
        try {
            connection = DriverManager.getConnection("jdbc:sqlite:" + file);
            try (Statement sql = connection.createStatement()) {
                for (String line : SCHEMA) {
                    sql.execute(line);
                }
            }
            connection.setAutoCommit(false);
            var store = new Store(connection);
            store.write("settle the last run", store::settleLastRun);
            return store;
        } catch (SQLException | IOException e) {
            try {
                if (connection != null) {
                    connection.close();
                }
            } catch (SQLException again) {
                e.addSuppressed(again);
            }
            boolean locked = String.valueOf(e.getMessage()).contains("SQLITE_BUSY");
            throw new IOException("cannot open the tenants' store in " + folder + (locked ? ": a running server has it, which the admin API reaches"
                    : ": " + e.getMessage()), e);
        }
    }

    /** A run that was not closed has lost at most what it had not written yet: about a second's worth, like the one before. */
    private void settleLastRun() throws SQLException {
        try (Statement sql = connection.createStatement()) {
            sql.execute("INSERT INTO usage SELECT hour, tenant, model, adapter, 0, 0, 0, 0, 0, sum(tokens) FROM second WHERE true "
                    + "GROUP BY hour, tenant, model, adapter ON CONFLICT DO UPDATE SET estimated = estimated + excluded.estimated");
            sql.execute("DELETE FROM second");
        }
    }

    private interface Change {
        void run() throws SQLException;
    }

    private interface Question<T> {
        T ask() throws SQLException, IOException;
    }

    private synchronized void write(String what, Change change) throws IOException {
        try {
            change.run();
            connection.commit();
        } catch (SQLException e) {
            undo(e);
            String message = "cannot " + what + " in the tenants' store: " + e.getMessage();
            throw e.getErrorCode() == SQLiteErrorCode.SQLITE_FULL.code ? new DiskFullException(message, e) : new IOException(message, e);
        }
    }

    /** Takes back what a transaction that failed has done, so that the next one begins with nothing. */
    private void undo(SQLException because) {
        try {
            connection.rollback();
        } catch (SQLException e) {
            because.addSuppressed(e);
            // SQLite has ended it itself, as it does when the disk is full; the driver begins another only behind one that it ended.
            try (Statement sql = connection.createStatement()) {
                sql.execute("BEGIN");
            } catch (SQLException again) {
                because.addSuppressed(again);
            }
        }
    }

    private synchronized <T> T read(String what, Question<T> question) throws IOException {
        try {
            T answer = question.ask();
            connection.commit();
            return answer;
        } catch (SQLException e) {
            undo(e);
            throw new IOException("cannot read " + what + " in the tenants' store: " + e.getMessage(), e);
        }
    }

    List<Tenant> tenants() throws IOException {
        return read("tenants", () -> {
            var all = new ArrayList<Tenant>();
            try (Statement sql = connection.createStatement(); ResultSet row = sql.executeQuery("SELECT name, created, fields FROM tenant")) {
                while (row.next()) {
                    Tenant plain = Tenant.named(row.getString(1), Instant.ofEpochMilli(row.getLong(2)));
                    all.add(TenantJson.apply(plain, (ObjectNode) JSON.readTree(row.getString(3))));
                }
            }
            return all;
        });
    }

    void write(Tenant tenant) throws IOException {
        ObjectNode fields = TenantJson.write(tenant);
        fields.remove(List.of("object", "name", "created"));
        write("write a tenant", () -> {
            try (PreparedStatement sql = connection.prepareStatement("INSERT OR REPLACE INTO tenant VALUES (?, ?, ?)")) {
                sql.setString(1, tenant.name());
                sql.setLong(2, tenant.created().toEpochMilli());
                sql.setString(3, fields.toString());
                sql.execute();
            }
        });
    }

    /** Removes a tenant and its keys; its usage stays, for the bill. */
    void remove(String tenant) throws IOException {
        write("remove a tenant", () -> {
            for (String line : new String[] {"DELETE FROM tenant WHERE name = ?", "DELETE FROM key WHERE tenant = ?"}) {
                try (PreparedStatement sql = connection.prepareStatement(line)) {
                    sql.setString(1, tenant);
                    sql.execute();
                }
            }
        });
    }

    List<ApiKey> keys() throws IOException {
        return read("keys", () -> {
            var all = new ArrayList<ApiKey>();
            try (Statement sql = connection.createStatement();
                    ResultSet row = sql.executeQuery("SELECT id, tenant, role, hash, label, created, expires, revoked FROM key")) {
                while (row.next()) {
                    all.add(new ApiKey(row.getString(1), row.getString(2), Role.valueOf(row.getString(3)), SecretHash.parse(row.getString(4)), row.getString(5),
                            Instant.ofEpochMilli(row.getLong(6)), time(row, 7), time(row, 8)));
                }
            }
            return all;
        });
    }

    private static Instant time(ResultSet row, int column) throws SQLException {
        long millis = row.getLong(column);
        return row.wasNull() ? null : Instant.ofEpochMilli(millis);
    }

    void write(List<ApiKey> keys) throws IOException {
        write("write a key", () -> {
            try (PreparedStatement sql = connection.prepareStatement("INSERT OR REPLACE INTO key VALUES (?, ?, ?, ?, ?, ?, ?, ?)")) {
                for (ApiKey key : keys) {
                    sql.setString(1, key.id());
                    sql.setString(2, key.tenant());
                    sql.setString(3, key.role().name());
                    sql.setString(4, key.hash().hex());
                    sql.setString(5, key.label());
                    sql.setLong(6, key.created().toEpochMilli());
                    sql.setObject(7, key.expires() == null ? null : key.expires().toEpochMilli());
                    sql.setObject(8, key.revoked() == null ? null : key.revoked().toEpochMilli());
                    sql.execute();
                }
            }
        });
    }

    /** Adds what was used since the last time, and what was done. */
    void add(Instant now, Map<Usage.Kind, Usage.Counts> used, List<AuditEntry> done) throws IOException {
        long hour = now.getEpochSecond() / HOUR * HOUR;
        write("add usage", () -> {
            try (Statement sql = connection.createStatement();
                    PreparedStatement usage = connection.prepareStatement(ADD_USAGE);
                    PreparedStatement second = connection.prepareStatement("INSERT INTO second VALUES (?, ?, ?, ?, ?)");
                    PreparedStatement audit = connection.prepareStatement("INSERT INTO audit VALUES (NULL, ?, ?, ?, ?, ?, ?)")) {
                sql.execute("DELETE FROM second");
                for (var entry : used.entrySet()) {
                    Usage.Counts counts = entry.getValue();
                    kind(usage, hour, entry.getKey());
                    long[] amounts = {counts.requests(), counts.promptTokens(), counts.cachedTokens(), counts.generatedTokens(), counts.millis(),
                        counts.estimatedTokens()};
                    for (int i = 0; i < amounts.length; i++) {
                        usage.setLong(5 + i, amounts[i]);
                    }
                    usage.execute();
                    kind(second, hour, entry.getKey());
                    second.setLong(5, counts.promptTokens() + counts.generatedTokens());
                    second.execute();
                }
                for (AuditEntry entry : done) {
                    audit.setLong(1, entry.time().toEpochMilli());
                    audit.setString(2, entry.tenant());
                    audit.setString(3, entry.key());
                    audit.setString(4, entry.remote());
                    audit.setString(5, entry.action());
                    audit.setInt(6, entry.status());
                    audit.execute();
                }
            }
        });
    }

    private static void kind(PreparedStatement sql, long hour, Usage.Kind kind) throws SQLException {
        sql.setLong(1, hour);
        sql.setString(2, kind.tenant());
        sql.setString(3, kind.model());
        sql.setString(4, kind.adapter());
    }

    /** Usage by hour. @param tenant null for all @param from the first hour's beginning, at the earliest @param to when the last hour ends, at the latest */
    List<Usage> usage(String tenant, Instant from, Instant to) throws IOException {
        return read("usage", () -> {
            var all = new ArrayList<Usage>();
            try (PreparedStatement sql = connection.prepareStatement("SELECT hour, tenant, model, adapter, requests, prompt, cached, generated, millis, estimated "
                    + "FROM usage WHERE hour >= ? AND hour < ? AND (? IS NULL OR tenant = ?) ORDER BY hour, tenant, model, adapter")) {
                sql.setLong(1, from.getEpochSecond());
                sql.setLong(2, to.getEpochSecond());
                sql.setString(3, tenant);
                sql.setString(4, tenant);
                try (ResultSet row = sql.executeQuery()) {
                    while (row.next()) {
                        all.add(new Usage(Instant.ofEpochSecond(row.getLong(1)),
                                new Usage.Kind(row.getString(2), row.getString(3), row.getString(4)),
                                new Usage.Counts(row.getLong(5), row.getLong(6), row.getLong(7), row.getLong(8), row.getLong(9), row.getLong(10))));
                    }
                }
            }
            return all;
        });
    }

    /** Tokens of prompts and outputs by tenant of a day; hours beyond it, from when a clock was ahead, do not count. */
    Map<String, Long> tokensOf(LocalDate day) throws IOException {
        return read("usage", () -> {
            var all = new HashMap<String, Long>();
            try (PreparedStatement sql = connection.prepareStatement("SELECT tenant, sum(prompt + generated + estimated) FROM usage WHERE hour >= ? AND hour < ? GROUP BY tenant")) {
                sql.setLong(1, day.toEpochSecond(LocalTime.MIDNIGHT, ZoneOffset.UTC));
                sql.setLong(2, day.plusDays(1).toEpochSecond(LocalTime.MIDNIGHT, ZoneOffset.UTC));
                try (ResultSet row = sql.executeQuery()) {
                    while (row.next()) {
                        all.put(row.getString(1), row.getLong(2));
                    }
                }
            }
            return all;
        });
    }

    /** What was done, the newest first. @param before an entry's number to go on below, or {@link Long#MAX_VALUE} */
    List<Map.Entry<Long, AuditEntry>> audit(long before, int limit) throws IOException {
        return read("the audit log", () -> {
            var all = new ArrayList<Map.Entry<Long, AuditEntry>>();
            try (PreparedStatement sql = connection.prepareStatement("SELECT number, time, tenant, key, remote, action, status FROM audit WHERE number < ? "
                    + "ORDER BY number DESC LIMIT ?")) {
                sql.setLong(1, before);
                sql.setInt(2, limit);
                try (ResultSet row = sql.executeQuery()) {
                    while (row.next()) {
                        all.add(Map.entry(row.getLong(1), new AuditEntry(Instant.ofEpochMilli(row.getLong(2)), row.getString(3), row.getString(4), row.getString(5),
                                row.getString(6), row.getInt(7))));
                    }
                }
            }
            return all;
        });
    }

    /** Closes in order: the next start estimates nothing. */
    @Override
    public synchronized void close() throws IOException {
        try {
            write("close", () -> {
                try (Statement sql = connection.createStatement()) {
                    sql.execute("DELETE FROM second");
                }
            });
        } finally {
            try {
                connection.close();
            } catch (SQLException e) {
                throw new IOException("cannot close the tenants' store: " + e.getMessage(), e);
            }
        }
    }
}
