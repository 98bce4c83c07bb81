package lock_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
)

// late is a network that holds back one packet, once armed, until it is let go.
type late struct {
	text  string // in the packet
	armed atomic.Bool
	held  chan struct{} // closed when the packet is being held back
	goOn  chan struct{} // close it to let the packet go
}

type lateConn struct {
	net.Conn
	late *late

	mu sync.Mutex
}

func (c *lateConn) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.late.text)) && c.late.armed.CompareAndSwap(true, false) {
		packet := bytes.Clone(p)
		c.mu.Lock()
		close(c.late.held)

		go func() {
			defer c.mu.Unlock()
			<-c.late.goOn
			_, _ = c.Conn.Write(packet) // what was written arrives
		}()

		return len(p), nil
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	return c.Conn.Write(p)
}

func (c *lateConn) Close() error { // after what was written has arrived
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Conn.Close()
}

// latePool is a pool whose connections are late with a packet that has a text in it.
func latePool(t *testing.T, dsn, text string) (*pgxpool.Pool, *late) {
	t.Helper()
	l := &late{text: text, held: make(chan struct{}), goOn: make(chan struct{})}
	cfg, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec // the statement's text is in its packet
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &lateConn{Conn: c, late: l}, nil
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool, l
}

// Every statement that can grant a lease, or enter a queue, is on its way when the caller gives up, and arrives after
// that. Nothing is left of it: the lease can be had at once, where a grant that nobody knows of, or a hand-over to
// somebody who has gone, would last for as long as the test.
func TestWhatIsCancelledDoesNotHappenLater(t *testing.T) {
	t.Parallel()
	acquire := func(ctx context.Context, l *lock.Locker) error { _, err := l.Acquire(ctx, "k"); return err }
	for name, c := range map[string]struct {
		text string // of the statement
		held bool   // somebody has the lease
		call func(ctx context.Context, l *lock.Locker) error
	}{
		"TryAcquire, known": {"SELECT f.ctid", false, func(ctx context.Context, l *lock.Locker) error { _, err := l.TryAcquire(ctx, "k"); return err }},
		"TryAcquire, full":  {"lease_try", false, func(ctx context.Context, l *lock.Locker) error { _, err := l.TryAcquire(ctx, "k"); return err }},
		"Acquire, known":    {"SELECT f.ctid", false, acquire},
		"Acquire, full":     {"lease_try", false, acquire},
		"Acquire, enqueue":  {"lease_enqueue", true, acquire},
		"many":              {"WITH place", false, func(ctx context.Context, l *lock.Locker) error { _, err := l.TryAcquireMany(ctx, "k", "l"); return err }},
		"Steal, evict":      {"WITH before", true, func(ctx context.Context, l *lock.Locker) error { _, err := l.Steal(ctx, "k"); return err }},
		"Steal, take":       {"lease_try", true, func(ctx context.Context, l *lock.Locker) error { _, err := l.Steal(ctx, "k"); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t)
			db, pool := setup(t)
			cfg := config("late")
			cfg.ClaimTTL, cfg.Options.TTL = time.Hour, time.Hour
			slow, packet := latePool(t, db.DSN, c.text)
			l, _ := start(t, bus.NewLocal(), slow, cfg)
			other, _ := start(t, bus.NewLocal(), pool, config("other"))
			if !strings.HasSuffix(name, "full") {
				require.NoError(t, l.Do(ctx, "k", func(context.Context, *lock.Lease) error { return nil })) // learns where the incarnation holds
			}
			var holder *lock.Lease
			if c.held {
				var err error
				holder, err = other.TryAcquire(ctx, "k")
				require.NoError(t, err)
			}

			packet.armed.Store(true)
			hurried, cancel := context.WithCancel(ctx)
			failed := make(chan error, 1)
			go func() { failed <- c.call(hurried, l) }()
			<-packet.held
			cancel()
			require.ErrorIs(t, <-failed, context.Canceled, "it does not wait for the network")
			close(packet.goOn)

			if holder != nil {
				_ = holder.Release(ctx) // Steal may have taken it away
			}
			lease, err := other.Acquire(ctx, "k")
			require.NoError(t, err)
			require.NoError(t, lease.Release(ctx))
			eventually(t, func() bool {
				var left int
				err := pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM pgcoherence.lease_waiter)
					+ (SELECT count(*) FROM pgcoherence.lease WHERE expires_at > clock_timestamp() OR next_id IS NOT NULL)`).Scan(&left)
				return err == nil && left == 0
			}, "nothing is left")
		})
	}
}

// The same for a waiter that was handed the lease and gives up while it claims it.
func TestCancelledClaim(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	db, pool := setup(t)
	cfg := config("late")
	cfg.ClaimTTL, cfg.Options.TTL = time.Hour, time.Hour
	slow, packet := latePool(t, db.DSN, "lease_claim")
	l, _ := start(t, bus.NewLocal(), slow, cfg)
	other, _ := start(t, bus.NewLocal(), pool, config("other"))
	holder, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	hurried, cancel := context.WithCancel(ctx)
	first, second := queue(t, hurried, l, "k", 1), queue(t, ctx, other, "k", 2)
	packet.armed.Store(true)
	require.NoError(t, holder.Release(ctx))
	<-packet.held
	cancel()
	require.ErrorIs(t, (<-first).err, context.Canceled)
	close(packet.goOn)
	o := <-second
	require.NoError(t, o.err)
	require.NoError(t, o.lease.Release(ctx))
}

// The table is locked by somebody. ctx bounds every call: it returns although its statement has not ended.
func TestContextBoundsCalls(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(context.Context, *lock.Locker, *lock.Lease) error{
		"TryAcquire": func(ctx context.Context, l *lock.Locker, _ *lock.Lease) error {
			_, err := l.TryAcquire(ctx, "k")
			return err
		},
		"Acquire": func(ctx context.Context, l *lock.Locker, _ *lock.Lease) error {
			_, err := l.Acquire(ctx, "k")
			return err
		},
		"many": func(ctx context.Context, l *lock.Locker, _ *lock.Lease) error {
			_, err := l.TryAcquireMany(ctx, "a", "b", "c", "d", "e")
			return err
		},
		"Steal": func(ctx context.Context, l *lock.Locker, _ *lock.Lease) error {
			_, err := l.Steal(ctx, "held")
			return err
		},
		"Release": func(ctx context.Context, _ *lock.Locker, lease *lock.Lease) error { return lease.Release(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t)
			db, pool := setup(t)
			l, _ := start(t, bus.NewLocal(), sized(t, db.DSN, 4), config("a"))
			lease, err := l.TryAcquire(ctx, "held")
			require.NoError(t, err)
			tx, err := pool.Begin(ctx)
			require.NoError(t, err)
			_, err = tx.Exec(ctx, "LOCK TABLE pgcoherence.lease IN ACCESS EXCLUSIVE MODE")
			require.NoError(t, err)

			stuck := func() (n int) {
				err := pool.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
					AND wait_event_type = 'Lock' AND application_name NOT LIKE 'pgcoherence%'`).Scan(&n)
				require.NoError(t, err)
				return n
			}

			hurried, cancel := context.WithCancel(ctx)
			failed := make(chan error, 1)
			go func() { failed <- call(hurried, l, lease) }()
			eventually(t, func() bool { return stuck() > 0 }, "its statement waits")
			cancel()
			require.ErrorIs(t, <-failed, context.Canceled)
			require.Positive(t, stuck(), "its statement still waits")
			require.NoError(t, tx.Rollback(ctx))
			eventually(t, func() bool { return l.Leaving() == 0 && stuck() == 0 }, "it ends")
			_ = lease.Release(ctx) // unless that was done

			for _, key := range []string{"k", "a", "held"} {
				again, err := l.Acquire(ctx, key)
				require.NoError(t, err)
				require.NoError(t, again.Release(ctx))
			}
		})
	}
}

// Those who give up again and again cost no connections.
func TestGivingUpKeepsConnections(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	db, pool := setup(t)
	contended := sized(t, db.DSN, 3)
	holder, _ := start(t, bus.NewLocal(), pool, config("holder"))
	lease, err := holder.TryAcquire(ctx, "k")
	require.NoError(t, err)
	l, _ := start(t, bus.NewLocal(), contended, config("a"))
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			for range 20 {
				hurried, cancel := context.WithTimeout(ctx, 3*time.Millisecond)
				_, err := l.Acquire(hurried, "k")
				cancel()
				if err == nil {
					t.Error("granted a lease that is held")
				}
			}
		})
	}

	all.Wait()
	require.LessOrEqual(t, contended.Stat().NewConnsCount(), int64(3))
	eventually(t, func() bool {
		info, err := holder.Inspect(ctx, "k")
		return err == nil && info.Waiters == 0 && l.Leaving() == 0
	}, "all leave the queue")
	require.NoError(t, lease.Release(ctx))
}

// A target that takes no writes makes Acquire wait; the end of its context says what the database has said all along, and
// so does one line of the log.
func TestEndlessTrouble(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	db, _ := setup(t)
	readOnly, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)
	readOnly.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	pool, err := pgxpool.NewWithConfig(ctx, readOnly)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	var log lines
	cfg := config("a")
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	l := make1(t, nil, pool, cfg)
	hurried, cancel := context.WithCancel(ctx)
	failed := make(chan error, 2)
	for range 2 {
		go func() { _, err := l.Acquire(hurried, "k"); failed <- err }()
	}

	eventually(t, func() bool { return log.count("leases cannot be acquired") == 1 }, "it is logged")
	cancel()

	for range 2 {
		err = <-failed
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "read-only")
	}

	require.Equal(t, 1, log.count("leases cannot be acquired"))
}

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}
