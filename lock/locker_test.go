package lock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(context.Background(), "postgres://nobody@127.0.0.1:1/nothing")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	l, err := lock.New(nil, pool, nil)
	require.NoError(t, err)
	_, err = lock.New(nil, nil, nil)
	require.ErrorIs(t, err, lock.ErrConfig)

	for field, cfg := range map[string]*lock.Config{
		"Schema":        {Schema: "Bad"},
		"Owner":         {Owner: "a\x00"},
		"ClaimTTL":      {ClaimTTL: -time.Second},
		"WatchInterval": {WatchInterval: time.Microsecond},
		"Retention":     {Retention: time.Second},
		"TTL":           {Options: lock.Options{TTL: lock.MinTTL - 1}},
		"TTL: 24":       {Options: lock.Options{TTL: lock.MaxTTL + 1}},
		"MinHold":       {Options: lock.Options{MinHold: -1}},
		"MinHold: 16s":  {Options: lock.Options{MinHold: 16 * time.Second}},
		"Metadata":      {Options: lock.Options{Metadata: map[string]string{"k": strings.Repeat("v", lock.MaxMetadataLen)}}},
	} {
		_, err := lock.New(nil, pool, cfg)
		require.ErrorIs(t, err, lock.ErrConfig, field)
		require.ErrorContains(t, err, field)
	}

	for _, o := range []lock.Options{{TTL: time.Millisecond}, {TTL: -1}, {MinHold: time.Hour}, {Metadata: map[string]string{"\x00": ""}}} {
		_, err := l.With(o)
		require.ErrorIs(t, err, lock.ErrConfig)
	}

	meta := map[string]string{"a": "b"}
	with, err := l.With(lock.Options{Metadata: meta, TTL: time.Minute})
	require.NoError(t, err)
	meta["a"] = strings.Repeat("v", lock.MaxMetadataLen) // it was copied
	_, err = with.With(lock.Options{TTL: time.Second})
	require.NoError(t, err)
}

// No schema, an old one, no rights: clear errors, at once.
func TestSchemaAndRights(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	empty := pgtest.New(t, nil).Pool(t)
	l := make1(t, nil, empty, config("a"))
	_, err := l.TryAcquire(ctx, "k")
	require.ErrorIs(t, err, lock.ErrSchema)
	_, err = l.Acquire(ctx, "k")
	require.ErrorIs(t, err, lock.ErrSchema)
	_, err = l.Inspect(ctx, "k")
	require.ErrorIs(t, err, lock.ErrSchema)
	_, err = l.Steal(ctx, "k")
	require.ErrorIs(t, err, lock.ErrSchema)
	_, err = l.TryAcquireMany(ctx, "a", "b")
	require.ErrorIs(t, err, lock.ErrSchema)
	require.ErrorIs(t, l.Run(ctx), lock.ErrSchema)
	_, err = l.TryAcquire(ctx, "k")
	require.ErrorIs(t, err, lock.ErrClosed)

	db, pool := setup(t)
	role := db.Name + "_app"
	_, err = pool.Exec(ctx, `CREATE ROLE "`+role+`" LOGIN PASSWORD 'app'`)
	require.NoError(t, err)
	as, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)
	as.ConnConfig.User, as.ConnConfig.Password = role, "app"
	apps, err := pgxpool.NewWithConfig(ctx, as)
	require.NoError(t, err)
	t.Cleanup(apps.Close)
	_, err = make1(t, nil, apps, config("a")).TryAcquire(ctx, "k")
	require.ErrorIs(t, err, lock.ErrPrivilege)

	require.NoError(t, lock.Migrate(ctx, pool, &lock.MigrateConfig{ReaderRole: role, Logger: quiet}))
	reader := make1(t, nil, apps, config("a"))
	_, err = reader.List(ctx, "", "", 0)
	require.NoError(t, err)
	err = reader.Run(ctx)
	require.ErrorIs(t, err, lock.ErrPrivilege)
	require.ErrorContains(t, err, "INSERT ON lease")

	require.NoError(t, lock.Migrate(ctx, pool, &lock.MigrateConfig{AppRole: role, Logger: quiet}))
	app, _ := start(t, nil, apps, config("a"))
	lease, err := app.TryAcquire(ctx, "k")
	require.NoError(t, err)
	tx, err := apps.Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, lease.Guard(ctx, tx))
	waiting := queue(t, ctx, app, "k", 1)
	require.NoError(t, tx.Commit(ctx))
	require.NoError(t, lease.Release(ctx))
	o := <-waiting
	require.NoError(t, o.err)
	_, err = app.Steal(ctx, "k")
	require.NoError(t, err)
	_, err = app.RaiseIncarnation(ctx, "test")
	require.NoError(t, err)
	t.Cleanup(func() {
		apps.Close()
		_, err := pool.Exec(context.Background(), `DROP OWNED BY "`+role+`"; DROP ROLE "`+role+`"`)
		require.NoError(t, err)
	})
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	pool := pgtest.New(t, nil).Pool(t)
	var dry strings.Builder
	require.NoError(t, lock.Migrate(ctx, pool, &lock.MigrateConfig{DryRun: &dry, Logger: quiet}))
	require.Contains(t, dry.String(), `CREATE TABLE "pgcoherence".lease `)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := lock.Migrate(ctx, pool, &lock.MigrateConfig{Logger: quiet}); err != nil {
				t.Errorf("migrate: %v", err)
			}
		})
	}
	wg.Wait()
	dry.Reset()
	require.NoError(t, lock.Migrate(ctx, pool, &lock.MigrateConfig{DryRun: &dry, Logger: quiet}))
	require.Empty(t, dry.String())
	require.NoError(t, bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: quiet}), "the bus beside it, in any order")

	script, err := lock.MigrationSQL(&lock.MigrateConfig{Schema: "other"})
	require.NoError(t, err)
	_, err = pool.Exec(ctx, script)
	require.NoError(t, err)
	require.NoError(t, lock.Migrate(ctx, pool, &lock.MigrateConfig{Schema: "other", Logger: quiet}))
	first := make1(t, nil, pool, config("a"))
	second := make1(t, nil, pool, &lock.Config{Schema: "other", Logger: quiet})
	_, err = first.TryAcquire(ctx, "k")
	require.NoError(t, err)
	_, err = second.TryAcquire(ctx, "k")
	require.NoError(t, err, "two applications in one database keep apart")
	for _, bad := range []*lock.MigrateConfig{{Schema: "no;"}, {AppRole: "a\x00"}, {ReaderRole: strings.Repeat("r", 64)}} {
		require.ErrorIs(t, lock.Migrate(ctx, pool, bad), lock.ErrConfig)
		_, err := lock.MigrationSQL(bad)
		require.ErrorIs(t, err, lock.ErrConfig)
	}
}

// The statements work under whatever isolation level the role begins its transactions with.
func TestOtherDefaultIsolation(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			ctx := within(t)
			db, _ := setup(t)
			cfg, err := pgxpool.ParseConfig(db.DSN)
			require.NoError(t, err)
			cfg.ConnConfig.RuntimeParams["default_transaction_isolation"] = level
			pool, err := pgxpool.NewWithConfig(ctx, cfg)
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			l, _ := start(t, bus.NewLocal(), pool, config("a"))
			var wg sync.WaitGroup
			total := 0
			for range 8 {
				wg.Go(func() {
					for range 3 {
						if err := l.Do(ctx, "k", func(context.Context, *lock.Lease) error { total++; return nil }); err != nil {
							t.Errorf("do: %v", err)
						}
					}
				})
			}

			wg.Wait()
			require.Equal(t, 24, total)
		})
	}
}

func TestMany(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, config("a"))
	keys := []string{"c", "a", "b"}
	leases, err := l.TryAcquireMany(ctx, keys...)
	require.NoError(t, err)
	for i, lease := range leases {
		require.Equal(t, keys[i], lease.Key())
	}
	_, err = l.TryAcquireMany(ctx, "x", "b", "y")
	var held *lock.HeldError
	require.ErrorAs(t, err, &held)
	require.Equal(t, "b", held.Key)
	require.Equal(t, "a", held.Owner)
	for _, key := range []string{"x", "y"} {
		info, err := l.Inspect(ctx, key)
		require.NoError(t, err)
		require.False(t, info.Held, "all or nothing")
	}
	for _, lease := range leases {
		require.NoError(t, lease.Release(ctx))
	}

	// In whatever order, from many sides: nobody waits for another in a circle.
	orders := [][]string{{"1", "2", "3"}, {"3", "2", "1"}, {"2", "3", "1"}, {"3", "1", "2"}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	inside := 0
	for i := range 8 {
		wg.Go(func() {
			for n := 0; n < 5; {
				leases, err := l.TryAcquireMany(ctx, orders[i%len(orders)]...)
				if errors.Is(err, lock.ErrHeld) {
					continue
				}
				if err != nil {
					t.Errorf("many: %v", err)
					return
				}
				n++
				mu.Lock()
				inside++
				alone := inside == 1
				mu.Unlock()
				if !alone {
					t.Error("not alone")
				}
				mu.Lock()
				inside--
				mu.Unlock()
				for _, lease := range leases {
					if err := lease.Release(ctx); err != nil {
						t.Errorf("release: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestInspectAndList(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, config("alice"))
	info, err := l.Inspect(ctx, "never")
	require.NoError(t, err)
	require.Equal(t, lock.Info{Key: "never"}, info)

	for i := range 5 {
		_, err := l.TryAcquire(ctx, fmt.Sprintf("job/%d", i))
		require.NoError(t, err)
	}

	_, err = l.TryAcquire(ctx, "other")
	require.NoError(t, err)
	queue(t, ctx, l, "job/3", 1)
	all, err := l.List(ctx, "job/", "", 0)
	require.NoError(t, err)
	require.Len(t, all, 5)
	require.Equal(t, "alice", all[3].Owner)
	require.Equal(t, 1, all[3].Waiters)
	require.True(t, all[3].Held)
	page, err := l.List(ctx, "job/", "job/1", 2)
	require.NoError(t, err)
	require.Len(t, page, 2)
	require.Equal(t, "job/2", page[0].Key)
	none, err := l.List(ctx, "job%", "", 0)
	require.NoError(t, err)
	require.Empty(t, none, "a prefix, not a pattern")
}

// The one it was stolen from learns of it at once, and those who wait stay in their order.
func TestSteal(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	cfg := config("owner")
	cfg.Options.TTL = time.Hour // heartbeats are far between
	owner, _ := start(t, startBus(t, pool), pool, cfg)
	thief, _ := start(t, startBus(t, pool), pool, config("thief"))
	lease, err := owner.TryAcquire(ctx, "k")
	require.NoError(t, err)
	waiting := queue(t, ctx, owner, "k", 1)
	stolen, err := thief.Steal(ctx, "k")
	require.NoError(t, err)
	require.Greater(t, stolen.Token(), lease.Token())

	select {
	case <-lease.Done():
	case <-ctx.Done():
		t.Fatal("not noticed")
	}

	require.ErrorIs(t, lease.Err(), lock.ErrLost)
	require.ErrorIs(t, lease.Release(ctx), lock.ErrLost)
	require.NoError(t, stolen.Err(), "and that released nothing of the thief's")
	require.Equal(t, int64(1), thief.Stats().Stolen)
	require.Empty(t, waiting)
	require.NoError(t, stolen.Release(ctx))
	o := <-waiting
	require.NoError(t, o.err)
	free, err := thief.Steal(ctx, "free")
	require.NoError(t, err, "what is free is simply taken")
	require.NoError(t, free.Release(ctx))
}

func TestWatch(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	cfg := config("a")
	cfg.WatchInterval = 20 * time.Millisecond
	l, _ := start(t, bus.NewLocal(), pool, cfg)
	seen := make(chan lock.Info)
	ended := make(chan struct{})
	own, cancel := context.WithCancel(ctx)
	go func() {
		defer close(ended)
		for info, err := range l.Watch(own, "k") {
			if err == nil {
				seen <- info
			}
		}
	}()

	require.False(t, (<-seen).Held)
	lease, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	info := <-seen
	require.True(t, info.Held)
	require.Equal(t, lease.Token(), info.Token)
	require.NoError(t, lease.Release(ctx))
	require.False(t, (<-seen).Held)
	cancel()
	<-ended
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, bus.NewLocal(), pool, config("a"))
	lease, err := l.Acquire(ctx, "k")
	require.NoError(t, err)
	_, err = l.TryAcquire(ctx, "k")
	require.ErrorIs(t, err, lock.ErrHeld)
	problems, err := testutil.CollectAndLint(l)
	require.NoError(t, err)
	require.Empty(t, problems)

	require.NoError(t, testutil.CollectAndCompare(l, strings.NewReader(`
# HELP pgcoherence_lock_acquired_total Attempts to take a lease by result.
# TYPE pgcoherence_lock_acquired_total counter
pgcoherence_lock_acquired_total{locker="lock",result="canceled"} 0
pgcoherence_lock_acquired_total{locker="lock",result="error"} 0
pgcoherence_lock_acquired_total{locker="lock",result="granted"} 1
pgcoherence_lock_acquired_total{locker="lock",result="held"} 1
# HELP pgcoherence_lock_held Leases this process holds.
# TYPE pgcoherence_lock_held gauge
pgcoherence_lock_held{locker="lock"} 1
`), "pgcoherence_lock_acquired_total", "pgcoherence_lock_held"))

	_, err = pool.Exec(ctx, "UPDATE pgcoherence.lease SET expires_at = '-infinity'")
	require.NoError(t, err)
	<-lease.Done()

	require.NoError(t, testutil.CollectAndCompare(l, strings.NewReader(`
# HELP pgcoherence_lock_lost_total Leases lost by reason.
# TYPE pgcoherence_lock_lost_total counter
pgcoherence_lock_lost_total{locker="lock",reason="closed"} 0
pgcoherence_lock_lost_total{locker="lock",reason="disconnected"} 0
pgcoherence_lock_lost_total{locker="lock",reason="expired"} 0
pgcoherence_lock_lost_total{locker="lock",reason="taken"} 1
`), "pgcoherence_lock_lost_total"))
}
