package bus_test

import (
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
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
	p := start(b, pool, &bus.Config{Logger: quiet})
	var n atomic.Int64
	b.SetParallelism(16)
	b.ReportAllocs()
	b.ResetTimer()
	before := processTime(b)

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

	b.ReportMetric(float64((processTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

// processTime is how much processor time this process has used. On a machine that has other work as well it is steadier than
// the time that passes.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
