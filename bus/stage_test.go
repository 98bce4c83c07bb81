package bus_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

func TestStage(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	// Sweeps are rare here, so that what arrives soon was announced.
	cfg := quick("a")
	a, b := start(t, pool, cfg), start(t, pool, quick("b"))

	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	staged, err := a.Stage(ctx, tx, bus.Event{Topic: "item", Keys: []string{"1", `quo"ted`, "é\n"}}, bus.Event{Topic: "other", All: true})
	require.NoError(t, err)
	more, err := a.Stage(ctx, tx, bus.Event{Topic: "item", Keys: []string{"2"}})
	require.NoError(t, err)
	require.NoError(t, tx.Commit(ctx))
	receipt := staged.Committed()
	require.Equal(t, receipt, more.Committed(), "one transaction, one receipt")
	eventually(t, func() bool { return a.has("1") && a.has("2") }, "own subscribers at once")
	for _, key := range []string{"1", `quo"ted`, "é\n", "2"} {
		eventually(t, func() bool { return b.has(key) }, "announced")
	}

	// Who never says Committed loses nothing.
	tx, err = pool.Begin(ctx)
	require.NoError(t, err)
	_, err = a.Stage(ctx, tx, bus.Event{Topic: "item", Keys: []string{"silent"}})
	require.NoError(t, err)
	require.NoError(t, tx.Commit(ctx))
	eventually(t, func() bool { return a.has("silent") && b.has("silent") }, "swept")

	// A savepoint that was rolled back takes its events along, and its number is not given out again.
	tx, err = pool.Begin(ctx)
	require.NoError(t, err)
	sp, err := tx.Begin(ctx)
	require.NoError(t, err)
	gone, err := a.Stage(ctx, sp, bus.Event{Topic: "item", Keys: []string{"gone"}})
	require.NoError(t, err)
	require.NoError(t, sp.Rollback(ctx))
	_, err = a.Stage(ctx, tx, bus.Event{Topic: "item", Keys: []string{"kept"}})
	require.NoError(t, err)
	require.NoError(t, tx.Commit(ctx))
	gone.Committed() // a mistake of the caller, without consequence for the other
	eventually(t, func() bool { return a.has("kept") && b.has("kept") }, "swept although a rolled back one was announced")

	_, err = a.Stage(ctx, nil, bus.Event{Topic: "item", Keys: []string{"\xff"}})
	require.ErrorIs(t, err, bus.ErrInvalidEvent)
	none, err := a.Stage(ctx, nil)
	require.NoError(t, err, "nothing to stage: nothing is sent")
	require.True(t, none.Committed().IsZero())
}

func TestSQL(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	a, b := start(t, pool, quick("a")), start(t, pool, quick("b"))
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { _ = db.Close() })

	receipt, err := a.InSQL(ctx, db, func(tx *sql.Tx, s *bus.Staging) error {
		s.Invalidate("item", "1")
		_, err := tx.ExecContext(ctx, "UPDATE item SET value = value + 1 WHERE id = '1'")
		return err
	})
	require.NoError(t, err)
	require.False(t, receipt.IsZero())
	eventually(t, func() bool { return a.has("1") && b.has("1") }, "arrives")

	failure := errors.New("caller's")
	_, err = a.InSQL(ctx, db, func(_ *sql.Tx, s *bus.Staging) error {
		s.Invalidate("item", "no")
		return failure
	})
	require.ErrorIs(t, err, failure)
	_, err = a.InSQL(ctx, db, func(_ *sql.Tx, s *bus.Staging) error {
		s.Invalidate("", "no")
		s.InvalidateAll("item")
		return nil
	})
	require.ErrorIs(t, err, bus.ErrInvalidEvent)
	receipt, err = a.InSQL(ctx, db, func(*sql.Tx, *bus.Staging) error { return nil })
	require.NoError(t, err)
	require.True(t, receipt.IsZero())
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = a.InSQL(ended, db, func(*sql.Tx, *bus.Staging) error { return nil })
	require.ErrorIs(t, err, context.Canceled)

	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	staged, err := a.StageSQL(ctx, tx, bus.Event{Topic: "item", Keys: []string{"2"}})
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	staged.Committed()
	eventually(t, func() bool { return b.has("2") }, "arrives")
	require.False(t, b.has("no"))
}
