package bus_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// logBuffer is a log that a test can read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

// TestBehindPgBouncer: a pooler in transaction mode takes LISTEN and delivers nothing. The bus notices, says so once
// and loudly, and stays in sync by polling; with connections of its own that go round the pooler it listens.
func TestBehindPgBouncer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, direct := setup(t)
	pooled := poolThrough(t, pgbouncer(t, db))
	publisher := start(t, direct, quick("publisher"))

	log := &logBuffer{}
	cfg := quick("deaf")
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	cfg.ProbeTimeout = 400 * time.Millisecond
	deaf := start(t, pooled, cfg)
	eventually(t, func() bool { return deaf.State() == bus.Polling }, "notices")
	for i := range 20 {
		key := fmt.Sprint("through ", i)
		publish(t, publisher, key)
		eventually(t, func() bool { return deaf.has(key) }, "polled")
	}
	require.True(t, deaf.Fresh(), "polling proves freshness as well")
	require.Equal(t, 1, log.count("notifications not received"), "one loud line")
	publish(t, deaf, "back")
	eventually(t, func() bool { return publisher.has("back") }, "what it publishes is announced through the pooler")
	require.Equal(t, []bus.Reason{bus.ReasonStart}, deaf.reasons())

	cfg = quick("direct")
	cfg.Connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, db.DSN) }
	live := start(t, pooled, cfg)
	publish(t, publisher, "heard")
	eventually(t, func() bool { return live.has("heard") && live.State() == bus.Live }, "live")
	r, err := live.Publish(ctx, bus.Event{Topic: "item", Keys: []string{"confirmed"}})
	require.NoError(t, err)
	require.NoError(t, live.Confirm(ctx, r))
	require.True(t, deaf.has("confirmed"), "a pod that polls takes part in confirmations")
}

// TestModes: polling on purpose needs one connection and no listener; listening on purpose never polls.
func TestModes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	poll := quick("poll")
	poll.Mode, poll.PollInterval, poll.Retention = bus.Poll, 20*time.Millisecond, 3*time.Second
	a, b := start(t, pool, poll), start(t, pool, poll)
	require.Equal(t, bus.Polling, a.State())
	var connections int
	require.NoError(t, pool.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name LIKE 'pgcoherence %'`).Scan(&connections))
	require.Equal(t, 2, connections, "one for each")
	publish(t, a, "1")
	eventually(t, func() bool { return b.has("1") && b.Fresh() }, "polled")
	r, err := b.Publish(ctx, bus.Event{Topic: "item", Keys: []string{"2"}})
	require.NoError(t, err)
	require.NoError(t, b.Confirm(ctx, r))
	require.True(t, a.has("2"))
	eventually(t, func() bool { return a.Stats().Pruned+b.Stats().Pruned > 0 }, "where nobody sweeps the log is pruned all the same")
}

func TestModeListenNeverPolls(t *testing.T) {
	t.Parallel()
	db, direct := setup(t)
	cfg := quick("listen")
	cfg.Mode, cfg.ProbeTimeout, cfg.StaleAfter = bus.Listen, 300*time.Millisecond, time.Second
	p := start(t, direct, cfg)
	require.Equal(t, bus.Live, p.State())

	deaf := prepare(t, poolThrough(t, pgbouncer(t, db)), cfg)
	deaf.run(t)
	eventually(t, func() bool {
		return deaf.State() == bus.Stale || deaf.State() == bus.CatchingUp && deaf.Stats().Beats > 10
	}, "stale")
	eventually(t, func() bool { return !deaf.Fresh() }, "not fresh")
	require.Zero(t, deaf.Stats().Polls)
}

// TestWatchState: the channel holds the newest state.
func TestWatchState(t *testing.T) {
	t.Parallel()
	s, pool := server(t, nil)
	cfg := quick("a")
	cfg.StaleAfter = 600 * time.Millisecond
	p := prepare(t, pool, cfg)
	states, stop := p.WatchState()
	require.Equal(t, bus.Starting, <-states)
	p.run(t)

	until := func(want bus.State) {
		t.Helper()
		deadline := time.After(patience)
		for {
			select {
			case got := <-states:
				if got == want {
					return
				}
			case <-deadline:
				t.Fatalf("state %s does not come, it is %s", want, p.State())
			}
		}
	}
	until(bus.Live)
	require.NoError(t, s.Stop(t.Context()))
	until(bus.Stale)
	require.False(t, p.Fresh())
	require.NoError(t, s.Start(t.Context()))
	until(bus.Live)
	p.stop()
	until(bus.Closed)
	require.GreaterOrEqual(t, p.Stats().Transitions, int64(4))
	stop()
	_, again := p.WatchState()
	again()

	// Nobody receives: nobody waits for that.
	idle, done := p.WatchState()
	defer done()

	require.Equal(t, bus.Closed, <-idle)
}

// TestOwnConnections: in every exec mode a pool can be set to, the bus' own connections work too.
func TestOwnConnections(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			config, err := pgxpool.ParseConfig(db.DSN)
			require.NoError(t, err)
			config.ConnConfig.DefaultQueryExecMode = mode
			pool, err := pgxpool.NewWithConfig(t.Context(), config)
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			a, b := start(t, pool, quick("a")), start(t, pool, quick("b"))
			publish(t, a, "1")
			eventually(t, func() bool { return b.has("1") }, "announced")
			_, err = pool.Exec(t.Context(), "SELECT pgcoherence.invalidate('item', '2')")
			require.NoError(t, err)
			eventually(t, func() bool { return b.has("2") }, "swept")
			pods, err := b.Pods(t.Context())
			require.NoError(t, err)
			require.NotEmpty(t, pods)
		})
	}
}

// A notification on a channel that is not ours, which a connection of Config.Connect brings along, is not the loss of the
// connection.
func TestConnectionThatHasListened(t *testing.T) {
	t.Parallel()
	db, pool := setup(t)
	cfg := quick("a")
	cfg.Connect = func(ctx context.Context) (*pgx.Conn, error) {
		conn, err := pgx.Connect(ctx, db.DSN)
		if err == nil {
			_, err = conn.Exec(ctx, `LISTEN stranger; LISTEN "pgcoherence:probe"; NOTIFY stranger; NOTIFY "pgcoherence:probe", 'of another pod'`)
		}
		return conn, err
	}
	p := start(t, pool, cfg)
	eventually(t, func() bool { return p.State() == bus.Live }, "live")
	beats := p.Stats().Beats
	eventually(t, func() bool { return p.Stats().Beats > beats+5 }, "beats")
	require.Equal(t, bus.Live, p.State())
	require.Zero(t, p.Stats().Reconnects)
}
