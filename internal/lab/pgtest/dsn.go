package pgtest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// superuser is the superuser of every server that pgtest makes itself.
const superuser = "postgres"

func startDSN(ctx context.Context, c Config) (*Server, error) {
	if c.DatabaseURL == "" {
		return nil, fmt.Errorf("%w: %s is not set", errNotConfigured, EnvDatabaseURL)
	}

	config, err := pgx.ParseConfig(c.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", EnvDatabaseURL, err)
	}

	// A named server that does not respond must not use up the time that pulling
	// a container image may need.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()

	if _, err := serverVersion(ctx, c.DatabaseURL); err != nil {
		return nil, err
	}

	// Log only the address: the DSN contains a password.
	from := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	return &Server{base: c.DatabaseURL, from: from}, nil
}

// makeDSN returns the address of a server that pgtest started.
func makeDSN(host string, port int, password string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, password),
		Host:     net.JoinHostPort(host, strconv.Itoa(port)),
		Path:     "/postgres",
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// withDatabase returns dsn with its database replaced; an empty name changes
// nothing. dsn has been parsed by pgx before.
func withDatabase(dsn, database string) string {
	if database == "" {
		return dsn
	}

	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		u, err := url.Parse(dsn)
		if err != nil {
			return dsn // unreachable: pgx parses URLs by the same function
		}

		u.Path, u.RawPath = "/"+database, ""
		query := u.Query()
		if query.Has("dbname") || query.Has("database") {
			// They would win over the path.
			query.Del("dbname")
			query.Del("database")
			u.RawQuery = query.Encode()
		}

		return u.String()
	}

	// The last of several equal keywords wins.
	return dsn + " dbname=" + quoteValue(database)
}

// quoteValue quotes a value of a keyword/value connection string.
func quoteValue(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

// serverVersion connects once and returns server_version_num, such as 150018.
func serverVersion(ctx context.Context, dsn string) (int, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var version string
	if err := conn.QueryRow(ctx, "show server_version_num").Scan(&version); err != nil {
		return 0, err
	}
	return strconv.Atoi(version)
}

func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
