package watch_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/bus/watch"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

// template is a database with the schema of the bus and one table of an application.
var template = &pgtest.Template{Name: "watch", Make: func(ctx context.Context, dsn string) error {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	return makeSchema(ctx, pool)
}}

func makeSchema(ctx context.Context, pool *pgxpool.Pool) error {
	if err := bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	_, err := pool.Exec(ctx, `CREATE TABLE item (id text PRIMARY KEY, value bigint NOT NULL DEFAULT 0);
		INSERT INTO item SELECT i::text FROM generate_series(1, 100) AS i`)
	return err
}

// setup is a database with the schema and a pool on it.
func setup(t testing.TB) (*pgtest.DB, *pgxpool.Pool) {
	t.Helper()
	db := pgtest.New(t, template)
	pool := db.Pool(t)
	return db, pool
}

type installer interface {
	Install(ctx context.Context, w watch.Watch) (changed bool, err error)
}

// install is Install without its report.
func install(ctx context.Context, i installer, w watch.Watch) error {
	_, err := i.Install(ctx, w)
	return err
}

func requireCode(t *testing.T, err error, code string) {
	t.Helper()
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, code, pgErr.Code)
}

// watched is a database in which tables are watched. No bus runs: what the triggers write stands in the log.
type watched struct {
	*watch.Installer

	t    *testing.T
	db   *pgtest.DB
	pool *pgxpool.Pool
}

func setupWatch(t *testing.T, sql string) *watched {
	t.Helper()
	db, pool := setup(t)
	b, err := watch.New(pool, nil)
	require.NoError(t, err)
	w := &watched{b, t, db, pool}
	w.do(sql)
	return w
}

// watch is WatchTable; if that changes something, it says so in the log.
func (w *watched) watch(spec watch.Watch) {
	w.t.Helper()
	require.Empty(w.t, w.log())
	before := w.text(installed)
	require.NoError(w.t, install(w.t.Context(), w, spec))
	if w.text(installed) == before {
		require.Empty(w.t, w.log())
	} else {
		require.Equal(w.t, []string{spec.Topic + " *"}, w.log())
	}
}

// do runs SQL in a transaction of its own.
func (w *watched) do(sql string) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), sql)
	require.NoError(w.t, err, sql)
}

// text is the one value of a query.
func (w *watched) text(sql string, args ...any) (text string) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&text), sql)
	return text
}

// log empties the log: "topic key key" or "topic *" for each event, in the order of the statements.
func (w *watched) log() (events []string) {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), `WITH gone AS (DELETE FROM pgcoherence.event RETURNING topic, keys, whole, at, n)
		SELECT topic, keys, whole FROM gone WHERE n IS NULL ORDER BY at`)
	require.NoError(w.t, err)
	var topic string
	var keys []string
	var whole bool
	_, err = pgx.ForEachRow(rows, []any{&topic, &keys, &whole}, func() error {
		slices.Sort(keys)
		if whole {
			require.Empty(w.t, keys)
			keys = []string{"*"}
		}
		events = append(events, topic+" "+strings.Join(keys, " "))
		return nil
	})
	require.NoError(w.t, err)
	return events
}

func (w *watched) before(version int) bool {
	w.t.Helper()
	var number int
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), "SELECT current_setting('server_version_num')::integer").Scan(&number))
	return number < version*10000
}
