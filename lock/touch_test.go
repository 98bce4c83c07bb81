package lock_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// touches remembers the most waiters that were touched in a statement.
type touches struct{ most atomic.Int64 }

func (c *touches) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if !strings.Contains(q.SQL, "ends_with_session") {
		return ctx
	}
	if ids, ok := q.Args[0].([]string); ok {
		c.most.Store(max(c.most.Load(), int64(len(ids))))
	}
	return ctx
}

func (*touches) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Ten thousand waiters of a process on one key are kept alive by statements of a bounded size, whose progress is kept when
// time is up: however many they are and however slow the server is, those that were touched stay alive.
func TestTenThousandWaiters(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	db, pool := setup(t)
	connection, err := pgx.ParseConfig(db.DSN)
	require.NoError(t, err)
	counts := &touches{}
	connection.Tracer = counts
	cfg := config("a")
	cfg.Connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, connection) }
	l := make1(t, nil, pool, cfg)
	_, err = l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	ids := make([]string, 10_000)
	for i := range ids {
		ids[i] = uuid.NewString()
	}
	_, err = pool.Exec(ctx, `INSERT INTO pgcoherence.lease_waiter (id, key, owner, seen_at)
		SELECT id::uuid, 'k', 'a', clock_timestamp() - interval '1 hour' FROM unnest($1::text[]) AS id`, ids)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, "UPDATE pgcoherence.lease SET queued = true WHERE key = 'k'")
	require.NoError(t, err)
	l.AddWaiters("k", ids)

	untouched := len(ids)
	for calls := 0; untouched > 0; calls++ {
		err := l.Touch(ctx)
		if left := l.Untouched(); err == nil {
			require.True(t, left == 0 || left < untouched, "each call makes progress")
			untouched = left
		}
		require.NoError(t, ctx.Err())
		time.Sleep(time.Millisecond) // not waited for: a server that was too slow for a chunk is asked again
	}
	require.Positive(t, counts.most.Load())
	require.LessOrEqual(t, counts.most.Load(), int64(1000))
	var old int
	require.NoError(t, pool.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.lease_waiter WHERE seen_at < clock_timestamp() - interval '30 minutes'").Scan(&old))
	require.Zero(t, old)
}
