package bus_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// InTransaction does not wait for a sweep. Sweeps here are half a second apart, so a delay that is a sweep's is not
// mistaken for one that is not.
func TestWatchInTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)

	cfg := func(name string) *bus.Config {
		c := quick(name)
		c.SweepInterval = 500 * time.Millisecond
		return c
	}
	pods := []*pod{start(t, pool, cfg("a")), start(t, pool, cfg("b"))}
	median := func(announce bus.Announce, n int) time.Duration {
		before := []int{pods[0].count("*"), pods[1].count("*")}
		require.NoError(t, pods[0].WatchTable(ctx, bus.Watch{Table: "item", Topic: "item", Announce: announce}))
		eventually(t, func() bool { return pods[0].count("*") > before[0] && pods[1].count("*") > before[1] }, "the whole topic, once")

		var delays []time.Duration
		for i := range n {
			// Apart from each other, and not in step with the sweeps: what follows closely waits.
			time.Sleep(time.Duration(150+37*i) * time.Millisecond)
			key := fmt.Sprint(int(announce)*n + i + 1)
			_, err := pool.Exec(ctx, "UPDATE item SET value = value + 1 WHERE id = $1", key)
			require.NoError(t, err)
			begin := time.Now()
			eventually(t, func() bool { return pods[0].has(key) && pods[1].has(key) }, "delivered")
			delays = append(delays, time.Since(begin))
		}

		slices.Sort(delays)
		t.Logf("%v: %v", announce, delays)
		return delays[len(delays)/2]
	}
	median(bus.AfterSweep, 9)
	require.Less(t, median(bus.InTransaction, 9), cfg("").SweepInterval/5)
}

// However many statements a transaction has, it sends one notification, and one that is rolled back sends none.
func TestWatchInTransactionOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	w := prepare(t, pool, quick("watch"))
	require.NoError(t, w.WatchTable(ctx, bus.Watch{Table: "item", Topic: "item", Announce: bus.InTransaction}))
	_, err := pool.Exec(ctx, "DELETE FROM pgcoherence.event")
	require.NoError(t, err)

	do := func(sql string) {
		t.Helper()
		_, err := pool.Exec(ctx, sql)
		require.NoError(t, err)
	}

	conn, err := pool.Acquire(ctx)
	require.NoError(t, err)
	defer conn.Release()

	_, err = conn.Exec(ctx, `LISTEN "`+w.Channel()+`"`)
	require.NoError(t, err)
	defer func() { _, _ = conn.Exec(ctx, "UNLISTEN *") }()

	do("BEGIN; UPDATE item SET value = 0 WHERE id = '1'; UPDATE item SET value = 1 WHERE id = '2'; DELETE FROM item WHERE id = '3'; COMMIT")
	do("BEGIN; UPDATE item SET value = 2 WHERE id = '1'; ROLLBACK")
	do("UPDATE item SET value = 2 WHERE false")
	do("NOTIFY \"" + w.Channel() + "\", 'last'")

	for _, want := range []string{"0 watch", "last"} {
		n, err := conn.Conn().WaitForNotification(ctx)
		require.NoError(t, err)
		require.Equal(t, want, n.Payload)
	}

	require.True(t, w.Notification("0 watch"), "it calls for a read of the difference")
	var events int
	require.NoError(t, pool.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.event").Scan(&events))
	require.Equal(t, 3, events)
}

// The events reach pods, by the sweep, like all others.
func TestWatchDelivers(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	a, b := start(t, pool, quick("a")), start(t, pool, quick("b"))
	require.NoError(t, a.WatchTable(t.Context(), bus.Watch{Table: "item", Topic: "item"}))
	eventually(t, func() bool { return a.has("*") && b.has("*") }, "what was written before, no trigger told of")
	_, err := pool.Exec(t.Context(), "UPDATE item SET value = 1 WHERE id IN ('7', '8')")
	require.NoError(t, err)

	for _, p := range []*pod{a, b} {
		eventually(t, func() bool { return p.has("7") && p.has("8") }, "delivered")
	}

	before := []int{a.count("*"), b.count("*")}
	_, err = pool.Exec(t.Context(), "TRUNCATE item")
	require.NoError(t, err)
	eventually(t, func() bool { return a.count("*") > before[0] && b.count("*") > before[1] }, "delivered")
}
