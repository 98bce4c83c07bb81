package lock_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

// durable is a pool of n connections on a server that flushes, with the tables.
func durable(b *testing.B, n int32) *pgxpool.Pool {
	b.Helper()
	server, err := pgtest.Start(b.Context(), &pgtest.Config{Settings: map[string]string{"fsync": "on"}, Logger: quiet})
	require.NoError(b, err)
	b.Cleanup(func() { _ = server.Close() })
	pool := sized(b, server.DSN(""), n)
	require.NoError(b, makeSchema(b.Context(), pool))
	return pool
}

// BenchmarkAcquireRelease takes and releases leases that nobody else wants, beside the least that SQL could do: the two
// statements that a table of locks needs. Run it with -benchtime 3s, and compare within one run.
func BenchmarkAcquireRelease(b *testing.B) {
	for _, workers := range []int{1, 16} {
		pool := durable(b, int32(workers)+1)
		_, err := pool.Exec(b.Context(), `CREATE TABLE bare (key text PRIMARY KEY, token bigint NOT NULL, owner text, expires_at timestamptz NOT NULL)
			WITH (fillfactor = 50); CREATE SEQUENCE bare_token;
			INSERT INTO bare SELECT 'key ' || i, 0, '', '-infinity' FROM generate_series(0, 63) AS i`)
		require.NoError(b, err)
		l, _ := start(b, bus.NewLocal(), pool, config("bench"))
		ours := func(ctx context.Context, key string) error {
			lease, err := l.TryAcquire(ctx, key)
			if err != nil {
				return err
			}
			return lease.Release(ctx)
		}
		bare := func(ctx context.Context, key string) error {
			var token int64
			if err := pool.QueryRow(ctx, `UPDATE bare SET token = nextval('bare_token'), owner = $2, expires_at = clock_timestamp() + $3::bigint * interval '1 ms'
				WHERE key = $1 AND expires_at <= clock_timestamp() RETURNING token`, key, "bench", 15000).Scan(&token); err != nil {
				return err
			}
			_, err := pool.Exec(ctx, `UPDATE bare SET expires_at = '-infinity' WHERE key = $1 AND token = $2`, key, token)
			return err
		}
		for round := range 3 { // interleaved: machines differ from minute to minute
			for _, v := range []struct {
				name string
				pair func(context.Context, string) error
			}{{"ours", ours}, {"bare", bare}} {
				b.Run(fmt.Sprintf("workers=%d/%s/round=%d", workers, v.name, round), func(b *testing.B) {
					var wg sync.WaitGroup
					var n atomic.Int64
					ctx := b.Context()
					b.ResetTimer()
					for w := range workers {
						wg.Go(func() {
							key := "key " + strconv.Itoa(w)
							for n.Add(1) <= int64(b.N) {
								if err := v.pair(ctx, key); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					wg.Wait()
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
				})
			}
		}
	}
}

// BenchmarkHandOff has contenders in several processes hand one lease around, each holding it for 2 ms, and measures from
// before Release is called to after the next one's Acquire has returned.
func BenchmarkHandOff(b *testing.B) {
	for _, contenders := range []int{2, 8, 32, 64} {
		b.Run("contenders="+strconv.Itoa(contenders), func(b *testing.B) {
			const processes = 4
			pool := durable(b, 4)
			var lockers []*lock.Locker
			for range min(processes, contenders) {
				own := sized(b, pool.Config().ConnString(), 8)
				l, _ := start(b, startBus(b, own), own, config("bench"))
				lockers = append(lockers, l)
			}
			ctx := b.Context()
			var released time.Time // guarded by the lease itself
			var gaps []time.Duration
			var wg sync.WaitGroup
			var n atomic.Int64
			b.ResetTimer()
			for i := range contenders {
				wg.Go(func() {
					for n.Add(1) <= int64(b.N) {
						lease, err := lockers[i%len(lockers)].Acquire(ctx, "k")
						if err != nil {
							b.Error(err)
							return
						}
						if !released.IsZero() {
							gaps = append(gaps, time.Since(released))
						}
						time.Sleep(2 * time.Millisecond) // the work
						released = time.Now()
						if err := lease.Release(ctx); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			slices.Sort(gaps)
			if len(gaps) > 0 {
				b.ReportMetric(float64(gaps[len(gaps)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(gaps[len(gaps)*99/100].Microseconds())/1000, "p99-ms")
			}
			var tries int64
			for _, l := range lockers {
				tries += l.Stats().Claims
			}
			b.ReportMetric(float64(tries)/float64(b.N), "claims/grant")
		})
	}
}
