package cache_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// failover moves a pod to a new primary: the last transactions of the old one are lost, so numbers come again.
func failover(b *fake, epoch string, xmax, xid uint64, key string) {
	b.set(func(f *fake) { f.epoch, f.at = epoch, position.Snapshot{Xmin: xmax, Xmax: xmax} })
	b.reset(bus.ReasonEpoch)
	b.key(xid, key)
}

// A value that a pod of the old primary has put into the tier looks newer than all that the new primary has written. The
// failover comes between any two of the reads that decide a fill.
func TestFill_FailoverBetweenTheReadsThatDecide(t *testing.T) {
	t.Parallel()
	for _, guarded := range []bool{true, false} {
		t.Run(fmt.Sprintf("guarded %v", guarded), func(t *testing.T) {
			t.Parallel()
			tier, db := newTier(), 1
			load := cache.Func(func(context.Context, string) (int, error) { return db, nil })
			cfg := config()
			cfg.Tier = tier

			// Pod A, on the old primary, whose last transactions do not reach the standby.
			a := newFake()
			a.at = position.Snapshot{Xmin: 1100, Xmax: 1100}
			ca := open(t, a, load, cfg)
			require.Equal(t, 1, get(t, ca, "k"))
			stored(t, ca, 1)

			b := newFake()
			b.at = position.Snapshot{Xmin: 1000, Xmax: 1000}
			cb := open(t, b, load, cfg)
			if !guarded {
				cb.Weaken(hook.Token{}, hook.CacheGuards{EpochLate: true})
			}
			db = 2
			b.set(func(f *fake) { f.during = func() { failover(b, "e2", 1050, 1055, "k") } })
			first := get(t, cb, "k")
			second := get(t, cb, "k")
			if guarded {
				require.Equal(t, 2, second, "after %d", first)
				return
			}
			require.Equal(t, 1, second, "without the guard it is not needed")
		})
	}
}

// Readers while one primary follows the other.
func TestFill_ReadersDuringFailovers(t *testing.T) {
	t.Parallel()
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	tier := newTier()
	pod := func() (*fake, *atomic.Int64, *cache.Cache[string, int]) {
		b, primary := newFake(), new(atomic.Int64)
		cfg := config()
		cfg.Tier = tier
		return b, primary, open(t, b, cache.Func(func(context.Context, string) (int, error) {
			return int(primary.Load()), nil
		}), cfg)
	}
	a, primaryA, ca := pod()
	b, primaryB, cb := pod()

	for round := range rounds {
		key, epoch := fmt.Sprintf("k%d", round), fmt.Sprintf("e%d", round)
		for _, f := range []*fake{a, b} {
			xmax := uint64(1100)
			if f == b {
				xmax = 1000
			}
			f.set(func(f *fake) { f.epoch, f.at = epoch, position.Snapshot{Xmin: xmax, Xmax: xmax} })
			f.reset(bus.ReasonEpoch)
		}
		primaryA.Store(1)
		primaryB.Store(1)
		sets := ca.Stats().TierSets
		get(t, ca, key)
		stored(t, ca, sets+1)

		var wg sync.WaitGroup
		var moved atomic.Bool
		for range 4 {
			wg.Go(func() {
				for range 20 {
					after := moved.Load()
					v, err := cb.Get(context.Background(), key)
					if err != nil || after && v != 2 {
						t.Errorf("round %d: %d, %v after the failover", round, v, err)
					}
				}
			})
		}
		wg.Go(func() {
			primaryB.Store(2)
			failover(b, epoch+"'", 1050, 1055, key)
			moved.Store(true)
		})
		wg.Wait()
		require.Equal(t, 2, get(t, cb, key))
	}
}
