package lock_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

// Everything works through a transaction pooler, a few server connections for all: takes, waits, renews, guards.
func TestThroughPgbouncer(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	db, direct := setup(t)
	dsn := pgtest.NewBouncer(t, db, &pgtest.BouncerConfig{PoolSize: 3}).DSN()
	l, _ := start(t, nil, sized(t, dsn, 8), short("a"))
	other, _ := start(t, nil, sized(t, dsn, 8), short("b"))
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	_, err = other.TryAcquire(ctx, "k")
	require.ErrorIs(t, err, lock.ErrHeld)
	waiting := queue(t, ctx, other, "k", 1)
	outlive(t, direct, l, "k")
	require.NoError(t, lease.Err(), "renewed through the pooler")

	tx, err := direct.Begin(ctx) // what is guarded may go past the pooler
	require.NoError(t, err)
	require.NoError(t, lease.Guard(ctx, tx))
	require.NoError(t, lease.Release(ctx))
	tries := other.Stats().Tries
	eventually(t, func() bool { return other.Stats().Tries > tries+3 }, "it is tried")
	require.Empty(t, waiting, "still guarded")
	require.NoError(t, tx.Commit(ctx))
	o := <-waiting
	require.NoError(t, o.err)
	require.Greater(t, o.lease.Token(), lease.Token())
	through, err := sized(t, dsn, 1).Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, o.lease.Guard(ctx, through), "or through it")
	require.NoError(t, through.Commit(ctx))
	require.NoError(t, o.lease.Release(ctx))
	var setting string
	require.NoError(t, sized(t, dsn, 1).QueryRow(ctx, "SHOW synchronous_commit").Scan(&setting))
	require.Equal(t, "on", setting, "nothing is left behind on the server's connection")
}
