package hostile_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/tables"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

func TestMain(m *testing.M) { pgtest.Main(m).Run() }

// database is one with all tables, for the whole of a fuzz run: making one for each input would be all that it does.
type database struct {
	pool *pgxpool.Pool
	bus  *bus.Postgres
	lock *lock.Locker
	kept *sessionstore.Store[string]
}

// open makes a database, and a pod on it that listens, keeps sessions and takes leases.
func open(t testing.TB) *database {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	d := &database{pool: pgtest.New(t, tables.Template("hostile")).Pool(t)}
	var err error
	d.bus, err = bus.NewPostgres(d.pool, &bus.Config{
		Name: "hostile", Logger: quiet, StaleAfter: 3 * time.Second, BeatInterval: 100 * time.Millisecond,
		ProbeTimeout: 15 * time.Second, SweepInterval: 20 * time.Millisecond, // a busy machine must not look like an error
	})
	require.NoError(t, err)
	d.lock, err = lock.New(d.bus, d.pool, &lock.Config{Owner: "hostile", Logger: quiet, DrainTimeout: -1})
	require.NoError(t, err)
	d.kept, err = sessionstore.New(d.bus, d.pool, &sessionstore.Config[string]{Logger: quiet})
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = d.bus.Run(ctx) }) // how it ends says nothing: the database goes with it
	running.Go(func() { _ = d.lock.Run(ctx) })
	running.Go(func() { _ = d.kept.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		_ = d.kept.Close() // as above
	})
	<-d.bus.Ready()
	return d
}

// strings of the database's catalogue.
func (d *database) list(t testing.TB, query string, args ...any) []string {
	t.Helper()
	rows, err := d.pool.Query(context.Background(), query, args...)
	require.NoError(t, err)
	var all []string
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		all = append(all, text)
	}
	require.NoError(t, rows.Err())
	return all
}
