package lock_test

import (
	"context"
	"os"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
	"github.com/pgcoherence/pgcoherence/lock"
)

// previous is a process of the version that knows the first migration only: it has that version's statements.
type previous struct {
	pool                             *pgxpool.Pool
	acquire, enqueue, release, renew string
}

func newPrevious(t testing.TB, pool *pgxpool.Pool) *previous {
	t.Helper()
	load := func(name string) string {
		text, err := os.ReadFile("testdata/previous/" + name + ".sql")
		require.NoError(t, err)
		return sqltext.Render(string(text), lock.DefaultSchema)
	}
	return &previous{pool, load("acquire"), load("enqueue"), load("release"), load("renew")}
}

// try asks for a lease: its token, or 0 and whether somebody has it.
func (p *previous) try(ctx context.Context, key, id string) (token int64, held bool, err error) {
	var granted *int64
	var has *bool
	err = p.pool.QueryRow(ctx, p.acquire, key, id, "previous", lock.DefaultTTL.Milliseconds(), nil, 5000).
		Scan(nil, nil, nil, &granted, nil, nil, &has, nil, nil, nil, nil)
	if granted != nil {
		token = *granted
	}
	return token, has != nil && *has, err
}

func (p *previous) enter(ctx context.Context, key, id string) error {
	return p.pool.QueryRow(ctx, p.enqueue, key, id, "previous").Scan(nil, nil, nil)
}

// giveUp releases a lease and returns who it was handed to, if it was still held.
func (p *previous) giveUp(ctx context.Context, key string, token int64) (heir *string, err error) {
	err = p.pool.QueryRow(ctx, p.release, key, token, 0, 5000, 2000, nil, nil).Scan(&heir, nil, nil)
	return heir, err
}

func (p *previous) renewed(ctx context.Context, key string, token int64) (renewed bool, err error) {
	err = p.pool.QueryRow(ctx, p.renew, []string{key}, []int64{token}, []int64{lock.MinTTL.Milliseconds()}).Scan(nil, nil, &renewed, nil, nil)
	return renewed, err
}

// Processes of the previous version, which know nothing of shares, are kept out by them, wait for them in the same queue, and
// end their time when they take the lease.
func TestSharesBesideThePreviousVersion(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, config("a"))
	old := newPrevious(t, pool)
	for name, take := range map[string]func(context.Context) (*lock.Lease, error){
		"readers": func(ctx context.Context) (*lock.Lease, error) { return l.AcquireShared(ctx, "k") },
		"holders": func(ctx context.Context) (*lock.Lease, error) { return semaphore(t, l, 2).Acquire(ctx) },
	} {
		id := uuid.NewString()
		one, err := take(ctx)
		require.NoError(t, err, name)
		two, err := take(ctx)
		require.NoError(t, err, name)
		token, has, err := old.try(ctx, "k", id)
		require.NoError(t, err)
		require.Zero(t, token)
		require.True(t, has)
		require.NoError(t, old.enter(ctx, "k", id))
		waiting := queueWith(t, l, "k", 2, func() (*lock.Lease, error) { return take(ctx) })
		require.NoError(t, one.Release(ctx))
		token, _, err = old.try(ctx, "k", id)
		require.NoError(t, err)
		require.Zero(t, token, name)

		// The last one's guard is waited for as well.
		tx := begin(t, pool)
		require.NoError(t, two.Guard(ctx, tx))
		require.NoError(t, two.Release(ctx))
		token, _, err = old.try(ctx, "k", id)
		require.NoError(t, err)
		require.Zero(t, token, name)
		require.NoError(t, tx.Commit(ctx))
		token, _, err = old.try(ctx, "k", id)
		require.NoError(t, err)
		require.Greater(t, token, two.Token(), name)
		renewed, err := old.renewed(ctx, "k", token)
		require.NoError(t, err)
		require.True(t, renewed)
		require.Empty(t, waiting)

		heir, err := old.giveUp(ctx, "k", token)
		require.NoError(t, err)
		require.NotNil(t, heir, "handed to one that shares it")
		three := taken(t, waiting)
		require.Greater(t, three.Token(), token)
		renewed, err = old.renewed(ctx, "k", token)
		require.NoError(t, err)
		require.False(t, renewed)
		require.NoError(t, three.Release(ctx))
	}

	// One that was renewed by nobody, and that a process of the previous version took over, is lost.
	reader, err := make1(t, nil, pool, short("dead")).TryAcquireShared(ctx, "k")
	require.NoError(t, err)
	var token int64
	eventually(t, func() bool {
		token, _, err = old.try(ctx, "k", uuid.NewString())
		return err == nil && token > 0
	}, "taken over")
	require.Greater(t, token, reader.Token())
	tx := begin(t, pool)
	require.Error(t, l.Forget(reader).Guard(ctx, tx))
	require.NoError(t, tx.Rollback(ctx))
	_, err = l.TryAcquireShared(ctx, "k")
	require.False(t, held(t, err).Shared)
}
