package bus_test

import (
	"context"
	"database/sql"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// nowhere is a server that refuses connections.
const nowhere = "postgres://app:secret@127.0.0.1:1/nothing"

// TestOpen: one call makes all that a program on database/sql needs, and Close ends all of it.
func TestOpen(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	empty := pgtest.New(t, nil)
	_, err := bus.Open(ctx, empty.DSN, quick("no schema"), nil)
	require.ErrorIs(t, err, bus.ErrSchema)

	// The context bounds the opening only.
	opening, cancel := context.WithCancel(ctx)
	a, err := bus.Open(opening, empty.DSN, quick("a"), &bus.OpenConfig{Migrate: &bus.MigrateConfig{}})
	require.NoError(t, err)
	cancel()
	require.Equal(t, bus.Live, a.State())
	b, err := bus.Open(ctx, empty.DSN, quick("b"), &bus.OpenConfig{ListenDSN: empty.DSN, MaxConns: 3})
	require.NoError(t, err)
	require.EqualValues(t, 3, b.Pool().Config().MaxConns)

	heard := &recorder{}
	defer b.Subscribe("item", heard)()
	receipt, err := a.Publish(ctx, bus.Event{Topic: "item", Keys: []string{"1"}})
	require.NoError(t, err)
	confirmed, err := a.ConfirmWithin(ctx, receipt, patience)
	require.NoError(t, err)
	require.True(t, confirmed)
	require.True(t, heard.has("1"))
	require.ErrorIs(t, a.Run(ctx), bus.ErrRunning)

	// Close waits, for every caller, and may come again.
	var closers sync.WaitGroup
	for range 4 {
		closers.Go(func() {
			if err := a.Close(); err != nil || a.State() != bus.Closed {
				t.Errorf("close: %v, %v", err, a.State())
			}
		})
	}
	closers.Wait()
	require.NoError(t, a.Close())
	require.NoError(t, b.Close())
	require.Error(t, a.Pool().Ping(ctx), "closed with the bus")
}

// TestOpenRefuses: what cannot work is an error that names the reason, and no password.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		dsn    string
		cfg    *bus.Config
		o      *bus.OpenConfig
		reason string
	}{
		"dsn":         {"postgres://app:secret@host:port/", nil, nil, "dsn"},
		"config":      {nowhere, &bus.Config{Schema: "No"}, nil, "Schema"},
		"max conns":   {nowhere, nil, &bus.OpenConfig{MaxConns: -1}, "MaxConns"},
		"listen":      {nowhere, nil, &bus.OpenConfig{ListenDSN: "postgres://app:secret@host:port/"}, "ListenDSN"},
		"schemas":     {nowhere, nil, &bus.OpenConfig{Migrate: &bus.MigrateConfig{Schema: "other"}}, "Migrate.Schema"},
		"dry run":     {nowhere, nil, &bus.OpenConfig{Migrate: &bus.MigrateConfig{DryRun: t.Output()}}, "DryRun"},
		"two Connect": {nowhere, &bus.Config{Connect: noConnect}, &bus.OpenConfig{ListenDSN: nowhere}, "ListenDSN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := bus.Open(t.Context(), c.dsn, c.cfg, c.o)
			require.ErrorIs(t, err, bus.ErrConfig)
			require.ErrorContains(t, err, c.reason)
			require.NotContains(t, err.Error(), "secret")
		})
	}

	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := bus.Open(short, nowhere, &bus.Config{Logger: quiet}, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "refused")
	require.NotContains(t, err.Error(), "secret")
	_, err = bus.Open(short, nowhere, &bus.Config{Logger: quiet}, &bus.OpenConfig{Migrate: &bus.MigrateConfig{}})
	require.Error(t, err)
}

// TestOpenNoWait opens a bus whose server is away, and one whose start ends with an error.
func TestOpenNoWait(t *testing.T) {
	t.Parallel()
	b, err := bus.Open(t.Context(), nowhere, &bus.Config{Logger: quiet}, &bus.OpenConfig{NoWait: true})
	require.NoError(t, err)
	require.False(t, b.Fresh())
	eventually(t, func() bool { return b.Stats().LastError != "" }, "it tries")
	require.NoError(t, b.Close())

	b, err = bus.Open(t.Context(), pgtest.New(t, nil).DSN, &bus.Config{Logger: quiet}, &bus.OpenConfig{NoWait: true})
	require.NoError(t, err)
	eventually(t, func() bool { return b.State() == bus.Closed }, "there is no schema")
	require.ErrorIs(t, b.Close(), bus.ErrSchema)

	p, err := bus.NewPostgres(lazyPool(t), nil)
	require.NoError(t, err)
	require.ErrorContains(t, p.Close(), "not opened")
}

// TestSQLBus is what both buses promise to applications on database/sql.
func TestSQLBus(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*testing.T, *pgxpool.Pool) bus.SQLBus{
		"postgres": func(t *testing.T, pool *pgxpool.Pool) bus.SQLBus { return start(t, pool, quick("a")).Postgres },
		"local":    func(*testing.T, *pgxpool.Pool) bus.SQLBus { return bus.NewLocal() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			base, pool := setup(t)
			b := make(t, pool)
			db, err := sql.Open("pgx", base.DSN)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			heard := &recorder{}
			t.Cleanup(b.Subscribe("item", heard))

			// A commit delivers, and a rollback, an error or a bad key does not.
			receipt, err := b.InSQL(ctx, db, func(tx *sql.Tx, s *bus.Staging) error {
				s.Invalidate("item", "1")
				s.Add(bus.Event{Topic: "item", Keys: []string{"2"}})
				_, err := tx.ExecContext(ctx, "UPDATE item SET value = 7 WHERE id = '1'")
				return err
			})
			require.NoError(t, err)
			confirmed, err := b.ConfirmWithin(ctx, receipt, patience)
			require.NoError(t, err)
			require.True(t, confirmed)
			eventually(t, func() bool { return heard.has("1") && heard.has("2") }, "own subscribers")

			_, err = b.InSQL(ctx, db, func(_ *sql.Tx, s *bus.Staging) error { s.Invalidate("item", "3"); return sql.ErrNoRows })
			require.ErrorIs(t, err, sql.ErrNoRows)
			_, err = b.InSQL(ctx, db, func(tx *sql.Tx, s *bus.Staging) error {
				s.Invalidate("item", "\xff")
				_, err := tx.ExecContext(ctx, "UPDATE item SET value = 8 WHERE id = '1'")
				return err
			})
			require.ErrorIs(t, err, bus.ErrInvalidEvent)
			_, err = b.InSQLWith(ctx, db, &bus.SQLConfig{Options: &sql.TxOptions{ReadOnly: true}}, func(_ *sql.Tx, s *bus.Staging) error {
				s.Invalidate("item", "3")
				return nil
			})
			require.ErrorIs(t, err, bus.ErrReadOnly)
			var value int
			require.NoError(t, db.QueryRowContext(ctx, "SELECT value FROM item WHERE id = '1'").Scan(&value))
			require.Equal(t, 7, value)

			// A transaction of somebody else's.
			tx, err := db.BeginTx(ctx, nil)
			require.NoError(t, err)
			staged, err := b.StageSQL(ctx, tx, bus.Event{Topic: "item", Keys: []string{"4"}})
			require.NoError(t, err)
			require.NoError(t, tx.Commit())
			require.False(t, staged.Committed().IsZero())
			eventually(t, func() bool { return heard.has("4") }, "staged")
			nothing, err := b.StageSQL(ctx, nil)
			require.NoError(t, err)
			require.True(t, nothing.Committed().IsZero())
			_, err = b.StageSQL(ctx, db, bus.Event{Topic: "item", Keys: []string{"5"}})
			require.ErrorIs(t, err, bus.ErrNotInTransaction)

			// The answer of the commit is not known: the values are read again.
			_, err = b.InSQL(ctx, db, func(tx *sql.Tx, s *bus.Staging) error {
				s.Invalidate("item", "6")
				_, err := tx.ExecContext(ctx, `CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);
					INSERT INTO late VALUES (1), (1)`)
				return err
			})
			require.Error(t, err, "fails at the commit")
			eventually(t, func() bool { return heard.has("6") }, "uncertain")
			require.False(t, heard.has("3") || heard.has("5"))
		})
	}
}

// TestConfirmWithin: the bound is the caller's patience, its context an error.
func TestConfirmWithin(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, pool := setup(t)
	a := start(t, pool, quick("a"))
	receipt, err := a.Publish(ctx, bus.Event{Topic: "item", Keys: []string{"1"}})
	require.NoError(t, err)

	confirmed, err := a.ConfirmWithin(ctx, receipt, 0)
	require.NoError(t, err)
	require.False(t, confirmed, "no time, no confirmation")
	confirmed, err = a.ConfirmWithin(ctx, bus.Receipt{}, 0)
	require.NoError(t, err)
	require.True(t, confirmed, "nothing was published")
	confirmed, err = a.ConfirmWithin(ctx, receipt, patience)
	require.NoError(t, err)
	require.True(t, confirmed)

	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = a.ConfirmWithin(ended, receipt, patience)
	require.ErrorIs(t, err, context.Canceled)
	short, cancel := context.WithTimeout(ctx, 0)
	defer cancel()
	_, err = a.ConfirmWithin(short, receipt, patience)
	require.ErrorIs(t, err, context.DeadlineExceeded, "the caller's deadline, not the bound")
	_, err = prepare(t, db.Pool(t), quick("idle")).ConfirmWithin(ctx, receipt, patience)
	require.ErrorIs(t, err, bus.ErrNotRunning)

	_, err = bus.NewLocal().ConfirmWithin(ended, receipt, patience)
	require.ErrorIs(t, err, context.Canceled)
}

func noConnect(context.Context) (*pgx.Conn, error) { return nil, sql.ErrConnDone }
