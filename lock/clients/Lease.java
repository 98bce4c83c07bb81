import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.UUID;

/**
 * A lease of pgcoherence from Java, with JDBC. The connection given to acquire, renew and release commits automatically;
 * the one given to guard is in the transaction that writes.
 */
public final class Lease {
    public final String key;
    public final long token;

    private Lease(String key, long token) {
        this.key = key;
        this.token = token;
    }

    /** Waits in the queue for a lease. Call renew every third of ttlSeconds. */
    public static Lease acquire(Connection connection, String key, String owner, double ttlSeconds)
            throws SQLException, InterruptedException {
        UUID waiter = UUID.randomUUID();
        String sql = "SELECT token, (extract(epoch FROM retry_in) * 1000)::bigint"
                + " FROM pgcoherence.lease_acquire(?, ?, ? * interval '1 s', ?)";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            statement.setString(1, key);
            statement.setString(2, owner);
            statement.setDouble(3, ttlSeconds);
            statement.setObject(4, waiter);
            while (true) {
                try (ResultSet row = statement.executeQuery()) {
                    row.next();
                    long token = row.getLong(1);
                    if (!row.wasNull()) {
                        return new Lease(key, token);
                    }
                    Thread.sleep(row.getLong(2));
                } catch (InterruptedException e) {
                    leave(connection, key, waiter);
                    throw e;
                }
            }
        }
    }

    /** Whether the lease was still held, and now lasts for ttlSeconds more. */
    public boolean renew(Connection connection, double ttlSeconds) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("SELECT pgcoherence.lease_renew(?, ?, ? * interval '1 s')")) {
            statement.setString(1, key);
            statement.setLong(2, token);
            statement.setDouble(3, ttlSeconds);
            return first(statement);
        }
    }

    /** Ties the connection's transaction to the lease; SQLSTATE 55000 if it is not held. */
    public void guard(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("SELECT pgcoherence.lease_guard(?, ?)")) {
            statement.setString(1, key);
            statement.setLong(2, token);
            statement.execute();
        }
    }

    /** Gives the lease up; whether it was still held. */
    public boolean release(Connection connection) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("SELECT pgcoherence.lease_release(?, ?)")) {
            statement.setString(1, key);
            statement.setLong(2, token);
            return first(statement);
        }
    }

    private static void leave(Connection connection, String key, UUID waiter) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement("SELECT pgcoherence.lease_leave(?, ?)")) {
            statement.setString(1, key);
            statement.setObject(2, waiter);
            statement.execute();
        }
    }

    private static boolean first(PreparedStatement statement) throws SQLException {
        try (ResultSet row = statement.executeQuery()) {
            row.next();
            return row.getBoolean(1);
        }
    }
}
