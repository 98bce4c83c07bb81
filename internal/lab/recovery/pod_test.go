package recovery_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// quiet keeps expected warnings out of the test's output.
var quiet = slog.New(slog.DiscardHandler)

const (
	staleAfter = 1500 * time.Millisecond
	podLease   = 2 * time.Second
	leaseTTL   = 3 * time.Second
	topic      = "item"
)

// route is the address of the database, which changes when a recovery has made another server: what service discovery
// or a name in DNS does.
type route struct {
	mu   sync.Mutex
	host string
	port uint16
}

// lead makes new connections go to the server of a DSN.
func (r *route) lead(t testing.TB, dsn string) {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.host, r.port = config.Host, config.Port
}

func (r *route) beforeConnect(_ context.Context, c *pgx.ConnConfig) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.Host, c.Port, c.Fallbacks = r.host, r.port, nil
	return nil
}

// guards are those that a control switches off.
type guards struct {
	bus  hook.Guards
	lock hook.LockGuards
	deaf bool // the recorder of events is not subscribed
	idle bool // leases are not renewed
}

// pod is what one process of an application has.
type pod struct {
	name     string
	pool     *pgxpool.Pool
	bus      *bus.Postgres
	cache    *cache.Cache[string, int64]
	sessions *sessionstore.Store[int]
	locks    *lock.Locker
	heard    *recorder
	stop     func()
}

// recorder is a subscriber that remembers the keys of events.
type recorder struct {
	mu   sync.Mutex
	keys map[string]bool
}

func (r *recorder) Invalidate(d bus.Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range d.Keys {
		r.keys[key] = true
	}
}

func (r *recorder) Reset(bus.Reason) {}

func (r *recorder) has(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[key]
}

// startPod starts a pod, and returns when it is in sync.
func startPod(t testing.TB, name, dsn string, r *route, off guards) *pod {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	config.MaxConns = 6
	config.ConnConfig.ConnectTimeout = time.Second
	if r != nil {
		config.BeforeConnect = r.beforeConnect
	}

	p := &pod{name: name, heard: &recorder{keys: map[string]bool{}}}
	p.pool, err = pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	p.bus, err = bus.NewPostgres(p.pool, &bus.Config{
		Name: name, Logger: quiet, StaleAfter: staleAfter, BeatInterval: 250 * time.Millisecond,
		ProbeTimeout: 500 * time.Millisecond, SweepInterval: 50 * time.Millisecond,
	})
	require.NoError(t, err)
	if w, ok := p.bus.Internal(hook.Token{}).(hook.Weakener); ok {
		w.Weaken(off.bus)
	}

	p.cache, err = cache.New(p.bus, topic, cache.Func(p.load), &cache.Config[string, int64]{Logger: quiet})
	require.NoError(t, err)
	p.sessions, err = sessionstore.New[int](p.bus, p.pool, &sessionstore.Config[int]{Logger: quiet})
	require.NoError(t, err)
	p.locks, err = lock.New(p.bus, p.pool, &lock.Config{
		Owner: name, Logger: quiet, DrainTimeout: -1, Options: lock.Options{TTL: leaseTTL},
	})
	require.NoError(t, err)
	p.locks.Weaken(hook.Token{}, off.lock)

	p.run(t, off)
	return p
}

// run runs the parts until the test ends, or stop is called, and returns when the bus is in sync.
func (p *pod) run(t testing.TB, off guards) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	unsubscribe := func() {}
	if !off.deaf {
		unsubscribe = p.bus.Subscribe(topic, p.heard)
	}
	ended := make(chan error, 1)
	running.Go(func() { ended <- p.bus.Run(ctx) })
	running.Go(func() { _ = p.sessions.Run(ctx) })
	if !off.idle {
		running.Go(func() { _ = p.locks.Run(ctx) })
	}

	p.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		unsubscribe()
		_ = errors.Join(p.cache.Close(), p.sessions.Close()) // nothing of theirs outlives the pod
		p.pool.Close()
	})
	t.Cleanup(p.stop)

	select {
	case <-p.bus.Ready():
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(patience):
		require.Fail(t, "not in sync", "%s: %+v", p.name, p.bus.Stats())
	}
}

func (p *pod) load(ctx context.Context, key string) (n int64, err error) {
	err = p.pool.QueryRow(ctx, "SELECT version FROM item WHERE key = $1", key).Scan(&n)
	return n, err
}

// write writes a version of a key and invalidates it, in one transaction.
func (p *pod) write(ctx context.Context, key string, n int64) error {
	_, err := p.bus.InTx(ctx, func(tx *bus.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE item SET version = $2 WHERE key = $1 AND version < $2", key, n); err != nil {
			return err
		}
		return p.cache.InvalidateTx(tx, key)
	})
	return err
}
