package bus_test

import (
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// BenchmarkCommit is 32 writers that update one row each and invalidate its key. What it costs beside transactions
// without an event is internal/lab/bench's to say; this one is for profiles and for comparing two versions.
func BenchmarkCommit(b *testing.B) {
	db := pgtest.New(b, template)
	config, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(b, err)
	config.MaxConns = 40
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	p := start(b, pool, nil)
	var n atomic.Int64
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		key := strconv.FormatInt(1+n.Add(1)%100, 10)
		for pb.Next() {
			tx, err := p.Begin(b.Context())
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := tx.Exec(b.Context(), "UPDATE item SET value = value + 1 WHERE id = $1", key); err != nil {
				b.Error(err)
				return
			}
			tx.Invalidate("item", key)
			if err := tx.Commit(b.Context()); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
