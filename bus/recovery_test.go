package bus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// server starts a server of the test's own, which it may crash, with the schema in it.
func server(t *testing.T, settings map[string]string) (*pgtest.Server, *pgxpool.Pool) {
	t.Helper()
	s := pgtest.NewServer(t, &pgtest.Config{Settings: settings, Logger: quiet})
	pool := poolOf(t, s)
	require.NoError(t, makeSchema(t.Context(), pool))
	return s, pool
}

func poolOf(t *testing.T, s *pgtest.Server) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), s.DSN("postgres"))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// publish publishes one key, and again if the database is not there yet.
func publish(t *testing.T, p *pod, key string) {
	t.Helper()
	eventually(t, func() bool {
		_, err := p.Publish(t.Context(), bus.Event{Topic: "item", Keys: []string{key}})
		return err == nil
	}, "published")
}

// lastReset is the reason of the newest reset.
func (p *pod) lastReset() bus.Reason {
	if r := p.reasons(); len(r) > 0 {
		return r[len(r)-1]
	}
	return ""
}

// live waits until a pod is live and an event of another pod reaches it.
func live(t *testing.T, from, to *pod, key string) {
	t.Helper()
	eventually(t, func() bool { return to.State() == bus.Live && from.State() == bus.Live }, "live again: %s", key)
	publish(t, from, key)
	eventually(t, func() bool { return to.has(key) }, "event after recovery: %s", key)
}

// terminated ends the connections of this purpose of all pods, waits until they are gone, runs f, and returns when each pod has made a new one: a
// round that found nothing to end would show nothing.
func terminated(t *testing.T, pool *pgxpool.Pool, purpose string, pods []*pod, f func()) {
	t.Helper()
	before := make([]int64, len(pods))
	for i, p := range pods {
		before[i] = p.Stats().Reconnects
		eventually(t, func() bool {
			var ended int
			err := pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
				WHERE datname = current_database() AND application_name = $1`, "pgcoherence "+purpose+" "+p.name).Scan(&ended)
			return err == nil && ended > 0
		}, "%s has a connection to end", p.name)
	}

	f()

	for i, p := range pods {
		eventually(t, func() bool { return p.Stats().Reconnects > before[i] }, "%s connects again", p.name)
	}
}

// TestConnectionTerminated: what is missed while one of a pod's connections is away arrives, exactly and without a reset,
// whichever it was, and the pods are live afterwards.
func TestConnectionTerminated(t *testing.T) {
	t.Parallel()
	for _, purpose := range []string{"listen", "control"} {
		t.Run(purpose, func(t *testing.T) {
			t.Parallel()
			_, pool := setup(t)
			a, b := start(t, pool, quick("a")), start(t, pool, quick("b"))
			const rounds = 5
			for round := range rounds {
				terminated(t, pool, purpose, []*pod{a, b}, func() {
					for i := range 20 {
						publish(t, a, fmt.Sprintf("%d.%d", round, i))
					}
					for i := range 20 {
						eventually(t, func() bool { return b.has(fmt.Sprintf("%d.%d", round, i)) }, "arrives")
					}
				})
			}

			for _, p := range []*pod{a, b} {
				eventually(t, func() bool { return p.State() == bus.Live && p.Fresh() }, "%s is live", p.name)
				require.Equal(t, []bus.Reason{bus.ReasonStart}, p.reasons())
				require.GreaterOrEqual(t, p.Stats().Reconnects, int64(rounds))
			}
		})
	}
}

// TestResets: whatever makes the log begin anew resets everybody, and afterwards all is well.
func TestResets(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(ctx context.Context, t *testing.T, s *pgtest.Server, pool *pgxpool.Pool){
		"server crash": func(ctx context.Context, t *testing.T, s *pgtest.Server, _ *pgxpool.Pool) {
			require.NoError(t, s.Crash(ctx))
			require.NoError(t, s.Start(ctx))
		},
		"backend crash": func(ctx context.Context, t *testing.T, s *pgtest.Server, pool *pgxpool.Pool) {
			conn, err := pgx.Connect(ctx, s.DSN("postgres"))
			require.NoError(t, err)
			require.NoError(t, s.KillBackend(int(conn.PgConn().PID())))
			_ = conn.Close(ctx)
		},
		"immediate stop": func(ctx context.Context, t *testing.T, s *pgtest.Server, _ *pgxpool.Pool) {
			require.NoError(t, s.StopImmediate(ctx))
			require.NoError(t, s.Start(ctx))
		},
		"TRUNCATE": func(ctx context.Context, t *testing.T, _ *pgtest.Server, pool *pgxpool.Pool) {
			_, err := pool.Exec(ctx, "TRUNCATE pgcoherence.event")
			require.NoError(t, err)
		},
		"VACUUM FULL": func(ctx context.Context, t *testing.T, _ *pgtest.Server, pool *pgxpool.Pool) {
			_, err := pool.Exec(ctx, "VACUUM FULL pgcoherence.event")
			require.NoError(t, err)
		},
		"schema made anew": func(ctx context.Context, t *testing.T, _ *pgtest.Server, pool *pgxpool.Pool) {
			_, err := pool.Exec(ctx, "DROP SCHEMA pgcoherence CASCADE")
			require.NoError(t, err)
			require.NoError(t, bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: quiet}))
		},
		"epoch deleted": func(ctx context.Context, t *testing.T, _ *pgtest.Server, pool *pgxpool.Pool) {
			_, err := pool.Exec(ctx, "DELETE FROM pgcoherence.epoch")
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, pool := server(t, nil)
			a, b := start(t, pool, quick("a")), start(t, pool, quick("b"))
			publish(t, a, "before")
			eventually(t, func() bool { return b.has("before") }, "before")
			epoch := a.Stats().Epoch
			fault(t.Context(), t, s, pool)
			eventually(t, func() bool { return a.lastReset() == bus.ReasonEpoch && b.lastReset() == bus.ReasonEpoch }, "both reset")
			live(t, a, b, "after")
			live(t, b, a, "back")
			require.Equal(t, []bus.Reason{bus.ReasonStart, bus.ReasonEpoch}, a.reasons(), "one fault, one reset, on both connections")
			require.NotEqual(t, epoch, a.Stats().Epoch)
			require.Equal(t, a.Stats().Epoch, b.Stats().Epoch)
		})
	}
}

// TestCleanRestart keeps the log, so nobody resets, and what was committed is caught up.
func TestCleanRestart(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, pool := server(t, nil)
	a, b := start(t, pool, quick("a")), start(t, pool, quick("b"))
	publish(t, a, "before")
	eventually(t, func() bool { return b.has("before") }, "before")
	require.NoError(t, s.Restart(ctx, pgtest.Fast))
	live(t, a, b, "after")
	require.Equal(t, []bus.Reason{bus.ReasonStart}, b.reasons())
}

// TestPromotion: the standby has no log, so everybody resets. The listener is not left behind on the old server,
// because the DSN asks for the one that takes writes.
func TestPromotion(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	primary, pool := server(t, nil)
	standby, err := primary.Standby(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, standby.Close()) })
	_ = pool

	config, err := pgxpool.ParseConfig(primary.DSN("postgres"))
	require.NoError(t, err)
	fallback, err := pgx.ParseConfig(standby.DSN("postgres"))
	require.NoError(t, err)
	config.ConnConfig.Fallbacks = append(config.ConnConfig.Fallbacks, fallbackOf(fallback))
	config.ConnConfig.ValidateConnect = requireWritable
	both, err := pgxpool.NewWithConfig(ctx, config)
	require.NoError(t, err)
	t.Cleanup(both.Close)

	a, b := start(t, both, quick("a")), start(t, both, quick("b"))
	publish(t, a, "before")
	eventually(t, func() bool { return b.has("before") }, "before")

	// A bus on the standby alone waits, and says why.
	waiting := prepare(t, poolOf(t, standby), quick("waiting"))
	waiting.run(t)
	eventually(t, func() bool { return waiting.Stats().LastError != "" }, "says why")
	require.Contains(t, waiting.Stats().LastError, "not a writable primary")
	require.Equal(t, bus.Starting, waiting.State())
	_, err = waiting.Publish(ctx, bus.Event{Topic: "item", Keys: []string{"no"}})
	require.ErrorIs(t, err, bus.ErrNotPrimary)

	// The standby has replayed the schema when it takes over; the rows of the log never get there.
	eventually(t, func() bool {
		var behind bool
		err := pool.QueryRow(ctx, "SELECT coalesce(bool_or(replay_lsn < sent_lsn), true) FROM pg_stat_replication").Scan(&behind)
		return err == nil && !behind
	}, "replayed")
	require.NoError(t, primary.StopImmediate(ctx))
	require.NoError(t, standby.Promote(ctx))
	eventually(t, func() bool { return a.lastReset() == bus.ReasonEpoch && b.lastReset() == bus.ReasonEpoch }, "both reset")
	live(t, a, b, "after")
	waiting.waitReady(t)
}

// TestPreparedTransaction: one that was open when the server crashed survives, its event does not. Its end resets
// everybody.
func TestPreparedTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, pool := server(t, nil)
	a := start(t, pool, quick("a"))
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	require.NoError(t, err)
	tx, err := conn.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "UPDATE item SET value = 5 WHERE id = '7'")
	require.NoError(t, err)
	_, err = a.Stage(ctx, tx, bus.Event{Topic: "item", Keys: []string{"7"}})
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "PREPARE TRANSACTION 'two'")
	require.NoError(t, err)
	require.NoError(t, conn.Close(ctx))

	// Without a crash the event is there when the transaction ends; here it is not.
	require.NoError(t, s.Crash(ctx))
	require.NoError(t, s.Start(ctx))
	eventually(t, func() bool { return a.lastReset() == bus.ReasonEpoch && a.State() == bus.Live }, "reset by the crash")
	before := len(a.reasons())
	eventually(t, func() bool {
		_, err := pool.Exec(ctx, "COMMIT PREPARED 'two'")
		return err == nil
	}, "committed")
	eventually(t, func() bool { return len(a.reasons()) > before && a.lastReset() == bus.ReasonEpoch }, "reset by its end")
	require.False(t, a.has("7"))
}

// TestRestoredDump: pg_dump carries the rows of unlogged tables along, epoch and all. The copy is another log.
func TestRestoredDump(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	from := dumpable(t)
	pool := poolOf(t, from)
	require.NoError(t, makeSchema(ctx, pool))
	a := start(t, pool, quick("a"))
	publish(t, a, "1")

	copied := pgtest.New(t, nil)
	copyByDump(t, from.DSN("postgres"), copied.DSN)
	b := start(t, copied.Pool(t), quick("b"))
	require.NotEqual(t, a.Stats().Epoch, b.Stats().Epoch)
	publish(t, b, "2")
	eventually(t, func() bool { return b.has("2") }, "works")
	require.False(t, a.has("2"))
}

// TestPrunedWhileAway: a pod that was away for longer than the log reaches back resets.
func TestPrunedWhileAway(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	short := quick("sweeper")
	short.StaleAfter, short.BeatInterval, short.Retention = 600*time.Millisecond, 100*time.Millisecond, 700*time.Millisecond
	a := start(t, pool, short)
	for i := range 30 {
		publish(t, a, fmt.Sprint(i))
	}

	eventually(t, func() bool {
		publish(t, a, "more")
		var n int
		require.NoError(t, pool.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.event WHERE '1' = ANY (keys)").Scan(&n))
		return n == 0 && a.Stats().Pruned >= 30
	}, "old events are deleted")

	var pruned bool
	require.NoError(t, pool.QueryRow(ctx, "SELECT pruned_to IS NOT NULL FROM pgcoherence.epoch").Scan(&pruned))
	require.True(t, pruned)
	require.Equal(t, []bus.Reason{bus.ReasonStart}, a.reasons(), "who is there is not reset")
}

// TestMaxCatchUp: more missed events than that, and everything is reset instead of caught up.
func TestMaxCatchUp(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	cfg := quick("b")
	cfg.MaxCatchUp = 10
	b := start(t, pool, cfg)
	_, err := pool.Exec(ctx, `INSERT INTO pgcoherence.event (topic, keys) SELECT 'item', ARRAY[i::text] FROM generate_series(1, 11) AS i`)
	require.NoError(t, err)
	// Its own sweep says it topic by topic.
	eventually(t, func() bool { return b.has("*") }, "the whole topic")
	require.Equal(t, []bus.Reason{bus.ReasonStart}, b.reasons())

	// A pod that has missed them resets.
	_, err = pool.Exec(ctx, `BEGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
		AND application_name LIKE 'pgcoherence %'; INSERT INTO pgcoherence.event (topic, keys)
		SELECT 'item', ARRAY[i::text] FROM generate_series(1, 11) AS i; COMMIT`)
	require.NoError(t, err)
	eventually(t, func() bool { return b.lastReset() == bus.ReasonCatchUp || b.count("*") > 1 }, "reset or told topic by topic")
}

// TestWrongPassword: at the start this is for a person to mend.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)
	config, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)

	if config.ConnConfig.Password == "" {
		t.Skip("*** NOT TESTED: this server asks for no password")
	}

	config.ConnConfig.Password = "not-the-password"
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	p := prepare(t, pool, quick("a"))
	err = p.Run(t.Context())
	requireCode(t, err, "28P01")
	require.NotContains(t, err.Error(), "not-the-password")
	require.NotContains(t, p.Stats().LastError, "not-the-password")
	require.Equal(t, bus.Closed, p.State())
}
