package lock_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

// quiet keeps expected warnings out of the test's output.
var quiet = slog.New(slog.DiscardHandler)

// template is a database with both schemas and a table to be guarded.
var template = &pgtest.Template{Name: "lock", Make: func(ctx context.Context, dsn string) error {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	return makeSchema(ctx, pool)
}}

func makeSchema(ctx context.Context, pool *pgxpool.Pool) error {
	if err := bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: quiet}); err != nil {
		return err
	}
	if err := lock.Migrate(ctx, pool, &lock.MigrateConfig{Logger: quiet}); err != nil {
		return err
	}
	_, err := pool.Exec(ctx, `CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL, writer bigint NOT NULL DEFAULT 0);
		INSERT INTO account SELECT i, 0 FROM generate_series(1, 10) AS i`)
	return err
}

// patience bounds every wait of a test: long, for a slow machine, and only ever reached by a failure.
const patience = 2 * time.Minute

func eventually(t testing.TB, condition func() bool, message string, args ...any) {
	t.Helper()
	require.Eventually(t, condition, patience, 2*time.Millisecond, append([]any{message}, args...)...)
}

func setup(t testing.TB) (*pgtest.DB, *pgxpool.Pool) {
	t.Helper()
	db := pgtest.New(t, template)
	pool := db.Pool(t)
	return db, pool
}

// sized is a pool with a number of connections.
func sized(t testing.TB, dsn string, n int32) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	config.MaxConns = n
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func config(owner string) *lock.Config {
	return &lock.Config{Owner: owner, Logger: quiet, DrainTimeout: -1} // tests do not release all they take
}

func make1(t testing.TB, b bus.Bus, pool *pgxpool.Pool, cfg *lock.Config) *lock.Locker {
	t.Helper()
	l, err := lock.New(b, pool, cfg)
	require.NoError(t, err)
	return l
}

// start runs a Locker until the test ends or stop is called; stop answers what Run returned.
func start(t testing.TB, b bus.Bus, pool *pgxpool.Pool, cfg *lock.Config) (l *lock.Locker, stop func() error) {
	t.Helper()
	l = make1(t, b, pool, cfg)
	return l, run(t, l)
}

func run(t testing.TB, l *lock.Locker) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = l.Run(ctx)
	}()

	stop = func() error {
		cancel()
		<-done
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

// startBus runs a bus and waits until it is in sync.
func startBus(t testing.TB, pool *pgxpool.Pool) *bus.Postgres {
	t.Helper()
	b, err := bus.NewPostgres(pool, &bus.Config{Logger: quiet, BeatInterval: 200 * time.Millisecond})
	require.NoError(t, err)
	runBus(t, b)
	return b
}

func runBus(t testing.TB, b *bus.Postgres) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	select {
	case <-b.Ready():
	case <-time.After(patience):
		t.Fatal("bus not ready")
	}
}

// outlive waits until whoever has a lease has had it for longer than its TTL, and by heartbeats that were answered.
func outlive(t testing.TB, pool *pgxpool.Pool, l *lock.Locker, key string) {
	t.Helper()
	beats := l.Stats().Heartbeats - l.Stats().HeartbeatsFailed
	eventually(t, func() bool {
		var longer bool
		err := pool.QueryRow(context.Background(), `SELECT clock_timestamp() > since + $2::bigint * interval '1 ms' AND expires_at > clock_timestamp()
			FROM pgcoherence.lease WHERE key = $1`, key, lock.MinTTL.Milliseconds()).Scan(&longer)
		return err == nil && longer && l.Stats().Heartbeats-l.Stats().HeartbeatsFailed > beats
	}, "outlives its TTL")
}

// within is a context that no test should reach the end of.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func open(t testing.TB, config *pgxpool.Config) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}
