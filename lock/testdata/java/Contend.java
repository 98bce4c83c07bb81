import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;

/** Holds a lease by clients/Lease.java, and does what its standard input says, a line at a time. */
public final class Contend {
    public static void main(String[] args) throws Exception {
        try (Connection connection = DriverManager.getConnection(args[0], args[1], args[2])) {
            Lease lease = Lease.acquire(connection, "k", args[3], 2.0);
            System.out.println(lease.token);
            BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                switch (line) {
                    case "renew":
                        System.out.println(lease.renew(connection, 2.0));
                        break;
                    case "guard":
                        System.out.println(guard(args, lease));
                        break;
                    case "release":
                        System.out.println(lease.release(connection));
                        return;
                    default:
                        throw new IllegalArgumentException(line);
                }
            }
        }
    }

    private static String guard(String[] args, Lease lease) throws SQLException {
        try (Connection connection = DriverManager.getConnection(args[0], args[1], args[2])) {
            connection.setAutoCommit(false);
            lease.guard(connection);
            connection.commit();
            return "guarded";
        } catch (SQLException e) {
            return e.getSQLState();
        }
    }
}
