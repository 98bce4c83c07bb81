package lock_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
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

// BenchmarkAcquireRelease takes and releases leases that nobody else wants, beside the least that SQL could do: two
// statements on a table with the same columns, without queue, fencing over failovers, renewal. Each iteration is a slot of
// each side, in random order, and what is reported is the median of the slots' ratios. Run it with -benchtime 20x.
func BenchmarkAcquireRelease(b *testing.B) {
	const slot = 200 * time.Millisecond
	pool := durable(b, 33)
	_, err := pool.Exec(b.Context(), `CREATE TABLE bare (LIKE pgcoherence.lease INCLUDING DEFAULTS, PRIMARY KEY (key)) WITH (fillfactor = 50);
		CREATE SEQUENCE bare_token`)
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
		if err := pool.QueryRow(ctx, `INSERT INTO bare AS b (key, token, grant_id, owner, expires_at)
			VALUES ($1, nextval('bare_token'), $4::text::uuid, $2, clock_timestamp() + $3::bigint * interval '1 ms')
			ON CONFLICT (key) DO UPDATE SET token = excluded.token, grant_id = excluded.grant_id, owner = excluded.owner,
				since = clock_timestamp(), expires_at = excluded.expires_at
			WHERE b.expires_at <= clock_timestamp() RETURNING token`, key, "bench", 15000, uuid.NewString()).Scan(&token); err != nil {
			return err
		}

		_, err := pool.Exec(ctx, `UPDATE bare SET expires_at = '-infinity' WHERE key = $1 AND token = $2`, key, token)
		return err
	}
	for _, workers := range []int{1, 16, 32} {
		b.Run("workers="+strconv.Itoa(workers), func(b *testing.B) {
			sides := []func(context.Context, string) error{ours, bare}
			var rates [2][]float64

			for _, pair := range sides { // makes the rows and prepares the statements
				require.NoError(b, inParallel(b, workers, slot, pair, new(float64)))
			}

			for b.Loop() {
				var rate [2]float64
				for _, i := range rand.Perm(2) {
					require.NoError(b, inParallel(b, workers, slot, sides[i], &rate[i]))
				}
				rates[0], rates[1] = append(rates[0], rate[0]/rate[1]), append(rates[1], rate[1])
			}

			for i := range rates {
				slices.Sort(rates[i])
			}

			b.ReportMetric(rates[0][len(rates[0])/2], "ratio")
			b.ReportMetric(rates[1][len(rates[1])/2], "bare-pairs/s")
		})
	}
}

// inParallel runs pairs for some time, each worker on a key of its own, and answers how many a second.
func inParallel(b *testing.B, workers int, d time.Duration, pair func(context.Context, string) error, rate *float64) error {
	b.Helper()
	var n atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, workers)
	begun := time.Now()
	for w := range workers {
		wg.Go(func() {
			for time.Since(begun) < d {
				if err := pair(b.Context(), "key "+strconv.Itoa(w)); err != nil {
					errs <- err
					return
				}
				n.Add(1)
			}
		})
	}

	wg.Wait()
	*rate = float64(n.Load()) / time.Since(begun).Seconds()
	close(errs)
	return <-errs
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
