package lock_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

// long is a configuration whose leases nobody gets by waiting for their TTL within a test.
func long(owner string, takeover time.Duration) *lock.Config {
	cfg := config(owner)
	cfg.Options.TTL = time.Hour
	cfg.TakeoverAfter = takeover
	return cfg
}

// bound waits until a key's owner, or all who share it, are bound to sessions.
func bound(t testing.TB, pool *pgxpool.Pool, key string) {
	t.Helper()
	eventually(t, func() bool {
		var yes bool
		err := pool.QueryRow(context.Background(), `SELECT CASE WHEN l.group_token = l.token
				THEN (SELECT bool_and(s.session > 0) FROM pgcoherence.lease_share AS s WHERE s.key = l.key AND s.token > l.token)
				ELSE l.session_grant = l.grant_id AND l.session > 0 END FROM pgcoherence.lease AS l WHERE key = $1`, key).Scan(&yes)
		return err == nil && yes
	}, "is bound")
}

// endSession ends sessions of an owner at the server, and returns how many there were.
func endSession(t testing.TB, pool *pgxpool.Pool, owner string) (n int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(context.Background(), `SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE application_name = $1 AND datname = current_database()`, "pgcoherence lock session "+owner).Scan(&n))
	return n
}

const holdEnv = "PGCOHERENCE_TEST_HOLD"

// TestHoldUntilKilled is the process that TestTakeoverOfAKilledProcess kills; without that it does nothing.
func TestHoldUntilKilled(t *testing.T) {
	dsn, how, ok := strings.Cut(os.Getenv(holdEnv), " ")
	if !ok {
		t.Skip("not called by another test")
	}

	pool, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	l, _ := start(t, nil, pool, long("killed", time.Second))
	how, now, _ := strings.Cut(how, " ")
	if now != "" { // it has a session before it asks
		eventually(t, func() bool {
			var n int
			err := pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgcoherence lock session killed' AND datname = current_database()").Scan(&n)
			return err == nil && n == 1 && l.HasSession()
		}, "has a session")
	}

	switch how {
	case "alone":
		_, err = l.Acquire(t.Context(), "k")
	case "shared":
		_, err = l.AcquireShared(t.Context(), "k")
	case "semaphore":
		_, err = semaphore(t, l, 1).Acquire(t.Context())
	case "many":
		_, err = l.TryAcquireMany(t.Context(), "k", strconv.Itoa(os.Getpid()))
	}

	require.NoError(t, err)

	if now != "" {
		os.Exit(3) // in the very moment in which it was granted
	}

	select {}
}

// A process that dies in the moment in which it is granted a lease is taken over as any other.
func TestTakeoverOfAProcessThatDiesAtOnce(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"alone", "shared", "semaphore", "many"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			ctx := within(t)
			db, pool := setup(t)
			l, _ := start(t, bus.NewLocal(), pool, config("b"))
			for _, before := range []bool{false, true} { // by one statement, and by another
				if before {
					lease, err := l.TryAcquire(ctx, "k")
					require.NoError(t, err)
					require.NoError(t, lease.Release(ctx))
				}

				cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestHoldUntilKilled$")
				cmd.Env = append(os.Environ(), holdEnv+"="+db.DSN+" "+how+" now")
				var exit *exec.ExitError
				require.ErrorAs(t, cmd.Run(), &exit)
				require.Equal(t, 3, exit.ExitCode())
				info, err := l.Inspect(ctx, "k")
				require.NoError(t, err)
				require.True(t, info.Held)
				lease, err := l.Acquire(ctx, "k") // its TTL is an hour
				require.NoError(t, err)
				require.Greater(t, lease.Token(), info.Token)
				require.NoError(t, lease.Release(ctx))
			}
		})
	}
}

// The leases of a process that is killed are taken over although their TTL is an hour, with larger tokens.
func TestTakeoverOfAKilledProcess(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"alone", "shared"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			ctx := within(t)
			db, pool := setup(t)
			cmd := exec.Command(os.Args[0], "-test.run=^TestHoldUntilKilled$")
			cmd.Env = append(os.Environ(), holdEnv+"="+db.DSN+" "+how)
			require.NoError(t, cmd.Start())
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			l, _ := start(t, bus.NewLocal(), pool, config("b"))
			eventually(t, func() bool {
				info, err := l.Inspect(ctx, "k")
				return err == nil && info.Held
			}, "it holds the key")
			bound(t, pool, "k")
			before, err := l.Holders(ctx, "k", 0, 0)
			require.NoError(t, err)
			waiting := queue(t, ctx, l, "k", 1)
			require.NoError(t, cmd.Process.Kill())
			killed := time.Now()
			lease := take(t, waiting)
			t.Logf("taken over after %v", time.Since(killed))
			require.Greater(t, lease.Token(), before[0].Token)
			require.NoError(t, lease.Release(ctx))
		})
	}
}

// A SQL client that waits takes over as well.
func TestTakeoverBySQL(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, stop := start(t, nil, pool, long("a", 500*time.Millisecond))
	_, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	bound(t, pool, "k")
	require.NoError(t, stop(), "the session ends with Run")
	eventually(t, func() bool {
		var token *int64
		err := pool.QueryRow(ctx, `SELECT token FROM pgcoherence.lease_acquire('k', 'sql', '15 s', '0d9c7f0e-0f4b-4b57-9f0e-9c1f7f6d2a11')`).Scan(&token)
		return err == nil && token != nil
	}, "takes over")
}

// A session that breaks while the database can be reached is replaced, and nothing is lost: neither a lease that was bound
// to it nor, while somebody waits for it, its place.
func TestSessionIsReplaced(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, nil, pool, long("a", 20*time.Second))
	other, _ := start(t, nil, pool, config("b"))
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	shared, err := l.TryAcquireShared(ctx, "shared")
	require.NoError(t, err)
	bound(t, pool, "k")
	bound(t, pool, "shared")
	waiting := queue(t, ctx, other, "k", 1)
	session := func() (n int64) {
		require.NoError(t, pool.QueryRow(ctx, "SELECT session FROM pgcoherence.lease WHERE key = 'k'").Scan(&n))
		return n
	}
	for range 3 {
		before := session()
		require.Positive(t, endSession(t, pool, "a"))
		eventually(t, func() bool { return session() > before }, "is bound to the next")
		bound(t, pool, "shared")
		require.NoError(t, lease.Err())
		require.NoError(t, shared.Err())
		require.Empty(t, waiting)
	}

	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, lease.Guard(ctx, tx))
	require.NoError(t, tx.Rollback(ctx))
	require.NoError(t, lease.Release(ctx))
	require.NoError(t, take(t, waiting).Release(ctx))
	require.NoError(t, shared.Release(ctx))
}

// A process that is cut off from the database loses its leases before anybody can take them over, and its guarded
// transactions are refused.
func TestCutOffFromTheDatabase(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	db, pool := setup(t)
	cfg, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)
	cut := newSwitch(t, cfg)
	lost := make(chan lock.Reason, 1)
	own := long("a", time.Second)
	own.Options.OnLost = func(_ *lock.Lease, reason lock.Reason) { lost <- reason }
	l, _ := start(t, nil, open(t, cfg), own)
	other, _ := start(t, nil, pool, config("b"))
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	bound(t, pool, "k")
	waiting := queue(t, ctx, other, "k", 1)
	cut()
	o := <-waiting
	require.NoError(t, o.err)

	select {
	case <-lease.Done():
	default:
		t.Fatal("taken over while its owner trusted it")
	}

	require.Equal(t, lock.ReasonDisconnected, <-lost)
	require.Greater(t, o.lease.Token(), lease.Token())
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	require.Error(t, l.Forget(lease).Guard(ctx, tx))
	require.NoError(t, tx.Rollback(ctx))
	require.NoError(t, o.lease.Release(ctx))
}

// A grant by a process that knows nothing of sessions, or has them switched off, is never taken over by what the owner
// before it was bound to; and a renewal that is late binds nothing.
func TestSessionsOfOwnersBefore(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, stop := start(t, nil, pool, long("a", 500*time.Millisecond))
	first, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	bound(t, pool, "k")
	require.NoError(t, first.Release(ctx))
	require.NoError(t, stop())
	plain, _ := start(t, nil, pool, config("b"))
	lease, err := plain.TryAcquire(ctx, "k")
	require.NoError(t, err)
	var look *string
	reap := func() *string {
		require.NoError(t, pool.QueryRow(ctx, "SELECT look_in::text FROM pgcoherence.lease_reap('k', '5 s', '2 s', NULL, NULL)").Scan(&look))
		return look
	}
	require.Nil(t, reap(), "no session says anything about it")

	queries, err := lock.Queries(lock.DefaultSchema)
	require.NoError(t, err)
	renew := func(session int64) bool {
		rows, err := pool.Query(ctx, queries["renew.sql"], []string{"k"}, []int64{lease.Token()}, []int64{60000}, session, int64(500))
		require.NoError(t, err)
		defer rows.Close()
		return rows.Next()
	}
	require.True(t, renew(7))
	require.True(t, renew(-8))
	require.False(t, renew(7), "late")
	require.Nil(t, reap())
	require.True(t, renew(9))
	require.NotNil(t, reap(), "nobody holds the lock of session 9")
}

// Through a pooler there is no session of one's own: Run says so, unless Connect goes past the pooler.
func TestTakeoverThroughPgbouncer(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	db, pool := setup(t)
	pooled := sized(t, pgtest.NewBouncer(t, db, &pgtest.BouncerConfig{PoolSize: 3}).DSN(), 4)
	l := make1(t, nil, pooled, long("a", time.Second))
	require.ErrorIs(t, l.Run(ctx), lock.ErrConfig)
	require.ErrorContains(t, make1(t, nil, pooled, long("a", time.Second)).Run(ctx), "TakeoverAfter")

	cfg := long("b", time.Second)
	cfg.Connect = connectTo(db.DSN)
	past, _ := start(t, nil, pooled, cfg)
	_, err := past.TryAcquire(ctx, "k")
	require.NoError(t, err)
	bound(t, pool, "k")

	for _, bad := range []time.Duration{-1, time.Millisecond, time.Hour} {
		_, err := lock.New(nil, pool, long("a", bad))
		require.ErrorIs(t, err, lock.ErrConfig)
		require.ErrorContains(t, err, "TakeoverAfter")
	}
}

func connectTo(dsn string) func(context.Context) (*pgx.Conn, error) {
	return func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, dsn) }
}

// newSwitch has a configuration dial connections that all end, and cannot be made any more, when cut is called.
func newSwitch(t testing.TB, cfg *pgxpool.Config) (cut func()) {
	t.Helper()
	var mu sync.Mutex
	var conns []net.Conn
	off := false
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()

		if off {
			return nil, errors.New("cut off")
		}

		conn, err := dial(ctx, network, addr)
		if err == nil {
			conns = append(conns, conn)
		}

		return conn, err
	}

	return func() {
		mu.Lock()
		defer mu.Unlock()
		off = true
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
}

// What is shared, and what sessions bring about, is counted.
func TestSharesAndSessionsAreCounted(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, stop := start(t, nil, pool, long("a", 500*time.Millisecond))
	other, _ := start(t, nil, pool, config("b"))
	_, err := l.TryAcquire(ctx, "alone")
	require.NoError(t, err)
	_, err = l.TryAcquireShared(ctx, "shared")
	require.NoError(t, err)
	_, err = semaphore(t, l, 2).TryAcquire(ctx)
	require.NoError(t, err)
	s := l.Stats()
	require.Equal(t, []int{3, 1, 1}, []int{s.Held, s.HeldShared, s.HeldPlaces})

	eventually(t, l.HasSession, "has a session")
	require.Equal(t, 1, endSession(t, pool, "a"))
	eventually(t, func() bool { return l.Stats().SessionsLost == 1 && l.HasSession() }, "has the next")
	for _, key := range []string{"alone", "shared", "k"} {
		bound(t, pool, key)
	}
	waiting := queue(t, ctx, other, "alone", 1)
	require.NoError(t, stop())
	require.NoError(t, taken(t, waiting).Release(ctx))
	require.Equal(t, int64(1), other.Stats().TakenOver)
	require.Equal(t, int64(1), l.Stats().SessionsLost, "the end of Run is none")
}
