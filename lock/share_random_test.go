package lock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/lock"
)

// mode is how somebody wants to have a key.
type mode int

const (
	asWriter mode = iota
	asReader
	asHolder // of a semaphore
	modes
)

const maxHolders = 2

// shareOracle knows who has the key, as the clients see it: from when they know that they have it until before they give it
// up, or until they cannot rely on it any more.
type shareOracle struct {
	mu   sync.Mutex
	have [modes]int
	last int64 // the largest token that was returned
	bad  []string
}

// seen is the largest token that was returned so far: who asks from now on gets a larger one.
func (o *shareOracle) seen() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

func (o *shareOracle) enter(m mode, token, before int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.have[m]++
	o.last = max(o.last, token)
	w, r, h := o.have[asWriter], o.have[asReader], o.have[asHolder]
	if w > 1 || w > 0 && r+h > 0 || r > 0 && h > 0 || h > maxHolders {
		o.bad = append(o.bad, fmt.Sprintf("%d writers, %d readers, %d holders", w, r, h))
	}
	if token <= before {
		o.bad = append(o.bad, fmt.Sprintf("token %d after %d", token, before))
	}
}

func (o *shareOracle) leave(m mode) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.have[m]--
}

// had is a lease by whatever client.
type had struct {
	token   int64
	guard   func(ctx context.Context, tx pgx.Tx) error
	release func(ctx context.Context) error
}

// takeGo takes a lease with the Go package.
func takeGo(ctx context.Context, l *lock.Locker, m mode, wait bool) (h had, err error) {
	s, err := l.Semaphore("k", maxHolders)
	if err != nil {
		return h, err
	}

	by := map[mode][2]func(context.Context) (*lock.Lease, error){
		asWriter: {func(ctx context.Context) (*lock.Lease, error) { return l.TryAcquire(ctx, "k") }, func(ctx context.Context) (*lock.Lease, error) { return l.Acquire(ctx, "k") }},
		asReader: {func(ctx context.Context) (*lock.Lease, error) { return l.TryAcquireShared(ctx, "k") }, func(ctx context.Context) (*lock.Lease, error) { return l.AcquireShared(ctx, "k") }},
		asHolder: {s.TryAcquire, s.Acquire},
	}[m]
	take := by[0]
	if wait {
		take = by[1]
	}

	lease, err := take(ctx)
	if err != nil {
		return h, err
	}

	return had{lease.Token(), lease.Guard, lease.Release}, nil
}

// takeSQL takes a lease with the SQL functions, as clients in other languages do.
func takeSQL(ctx context.Context, pool *pgxpool.Pool, m mode, wait bool) (had, error) {
	id := uuid.NewString()
	var waiter *string
	if wait {
		waiter = &id
	}

	call := map[mode]string{
		asWriter: "pgcoherence.lease_acquire('k', 'sql', '15 s', $1::text::uuid)",
		asReader: "pgcoherence.lease_acquire_shared('k', 'sql', '15 s', $1::text::uuid)",
		asHolder: fmt.Sprintf("pgcoherence.semaphore_acquire('k', %d, 'sql', '15 s', $1::text::uuid)", maxHolders),
	}[m]
	for {
		var token *int64
		if err := pool.QueryRow(context.WithoutCancel(ctx), "SELECT token FROM "+call, waiter).Scan(&token); err != nil {
			return had{}, err
		}

		switch {
		case token != nil:
			return had{
				token: *token,
				guard: func(ctx context.Context, tx pgx.Tx) error {
					_, err := tx.Exec(ctx, "SELECT pgcoherence.lease_guard('k', $1)", *token)
					return err
				},
				release: func(ctx context.Context) error {
					_, err := pool.Exec(ctx, "SELECT pgcoherence.lease_release('k', $1)", *token)
					return err
				},
			}, nil
		case !wait:
			return had{}, lock.ErrHeld
		case ctx.Err() != nil:
			_, err := pool.Exec(context.WithoutCancel(ctx), "SELECT pgcoherence.lease_leave('k', $1::text::uuid)", id)
			return had{}, errors.Join(ctx.Err(), err)
		}

		time.Sleep(rand.N(10 * time.Millisecond))
	}
}

// takePrevious takes a lease as a process of the previous version, which tries only.
func takePrevious(ctx context.Context, p *previous) (had, error) {
	token, _, err := p.try(context.WithoutCancel(ctx), "k", uuid.NewString())
	if err != nil {
		return had{}, err
	}
	if token == 0 {
		return had{}, lock.ErrHeld
	}

	return had{
		token: token,
		guard: func(context.Context, pgx.Tx) error { return nil }, // what it does is not looked at
		release: func(ctx context.Context) error {
			_, err := p.giveUp(ctx, "k", token)
			return err
		},
	}, nil
}

// dieWith takes a lease that nothing renews, and leaves it to end by itself.
func dieWith(ctx context.Context, l *lock.Locker, m mode, oracle *shareOracle) error {
	var lease *lock.Lease
	var err error
	before := oracle.seen()

	switch m {
	case asReader:
		lease, err = l.TryAcquireShared(ctx, "k")
	case asHolder:
		s, bad := l.Semaphore("k", maxHolders)
		if bad != nil {
			return bad
		}
		lease, err = s.TryAcquire(ctx)
	default:
		lease, err = l.TryAcquire(ctx, "k")
	}

	if err != nil {
		if errors.Is(err, lock.ErrHeld) || ctx.Err() != nil {
			return nil
		}
		return err
	}

	if lease.ValidFor() > lock.MinTTL/2 { // else the test was slow
		oracle.enter(m, lease.Token(), before)
		oracle.leave(m)
	}

	return nil
}

// Whatever readers, writers and holders of a semaphore do, in whatever language and of whatever version, whether they give up,
// or die: a writer is alone, readers meet no holders, holders are no more than there are places, tokens grow, what writers
// guard is written in the order of their tokens, and in the end nobody waits for ever.
func TestSharesAtRandom(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	var lockers []*lock.Locker
	for range 2 {
		l, _ := start(t, startBus(t, pool), pool, config("p"))
		lockers = append(lockers, l)
	}
	dies := make1(t, nil, pool, short("dies")) // renews nothing
	old := newPrevious(t, pool)
	oracle := &shareOracle{}
	var granted [modes]int

	work := func(random *rand.Rand) error {
		m, wait := mode(random.IntN(int(modes))), random.IntN(3) > 0
		asking, cancel := context.WithTimeout(ctx, patience)
		if random.IntN(4) == 0 {
			cancel()
			asking, cancel = context.WithTimeout(ctx, time.Duration(random.Int64N(int64(30*time.Millisecond))))
		}
		defer cancel()
		before := oracle.seen()
		var h had
		var err error
		switch who := random.IntN(12); {
		case who < 2:
			h, err = takeSQL(asking, pool, m, wait)
		case who < 3:
			m = asWriter
			h, err = takePrevious(asking, old)
		case who < 4 && random.IntN(4) == 0:
			return dieWith(asking, dies, m, oracle)
		default:
			h, err = takeGo(asking, lockers[who%2], m, wait)
		}
		if errors.Is(err, lock.ErrHeld) || asking.Err() != nil && err != nil {
			return nil
		}
		if err != nil {
			return err
		}
		oracle.enter(m, h.token, before)
		oracle.mu.Lock()
		granted[m]++
		oracle.mu.Unlock()
		err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if err := h.guard(ctx, tx); err != nil || m != asWriter {
				return err
			}
			tag, err := tx.Exec(ctx, "UPDATE account SET writer = $1 WHERE id = 1 AND writer < $1", h.token)
			if err == nil && tag.RowsAffected() == 0 {
				return fmt.Errorf("a writer of a larger token than %d has written before", h.token)
			}
			return err
		})
		oracle.leave(m)
		return errors.Join(err, h.release(ctx))
	}

	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), rand.Uint64()))
			for range 20 {
				if err := work(random); err != nil {
					t.Errorf("work: %v", err)
				}
			}
		})
	}
	all.Wait()
	require.Empty(t, oracle.bad)
	for m, n := range granted {
		require.Positive(t, n, "mode %d", m)
	}
	alone, err := lockers[0].Acquire(ctx, "k")
	require.NoError(t, err)
	require.NoError(t, alone.Release(ctx))
	eventually(t, func() bool {
		info, err := lockers[0].Inspect(ctx, "k")
		return err == nil && !info.Held && info.Waiters == 0
	}, "nothing is left")
}
