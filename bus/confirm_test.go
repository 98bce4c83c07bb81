package bus_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// shortLease makes the pod lease 2 s and the pods' patience to match.
func shortLease(t *testing.T) (cfg func(name string) *bus.Config, pods func(names ...string) []*pod) {
	t.Helper()
	_, pool := setup(t)
	_, err := pool.Exec(t.Context(), "UPDATE pgcoherence.setting SET pod_lease = '2 seconds'")
	require.NoError(t, err)

	cfg = func(name string) *bus.Config {
		c := quick(name)
		c.StaleAfter = 1500 * time.Millisecond
		return c
	}
	return cfg, func(names ...string) (pods []*pod) {
		for _, name := range names {
			pods = append(pods, start(t, pool, cfg(name)))
		}
		return pods
	}
}

// TestConfirm: when it returns nil, every pod has applied the event.
func TestConfirm(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, start := shortLease(t)
	pods := start("a", "b", "c")
	fastest := time.Hour
	for i, key := range []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"} {
		r, err := pods[i%3].Publish(ctx, bus.Event{Topic: "item", Keys: []string{key}})
		require.NoError(t, err)
		begin := time.Now()
		require.NoError(t, pods[(i+i/3)%3].Confirm(ctx, r), "on whatever pod")
		fastest = min(fastest, time.Since(begin))

		for _, p := range pods {
			require.True(t, p.has(key), "pod has applied %s when it is confirmed", key)
		}
	}

	require.Less(t, fastest, 1500*time.Millisecond, "by positions, not by waiting for the lease")
}

// TestConfirmRefuses: a receipt that nothing bears out is never confirmed.
func TestConfirmRefuses(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, start := shortLease(t)
	a := start("a")[0]
	require.NoError(t, a.Confirm(ctx, bus.Receipt{}), "nothing was published, nothing is to be confirmed")
	parse := func(text string) (r bus.Receipt) {
		require.NoError(t, r.UnmarshalText([]byte(text)))
		return r
	}
	epoch := a.Stats().Epoch
	for name, text := range map[string]string{
		"another epoch": "0123456789abcdef:5", "no epoch": ":5", "lost answer": epoch + ":0",
		"transaction of the future": epoch + ":9000000000000000000", "not a user's transaction": epoch + ":1",
	} {
		if name == "not a user's transaction" {
			continue // ids below 3 count as committed
		}
		require.ErrorIs(t, a.Confirm(ctx, parse(text)), bus.ErrUnconfirmed, name)
	}

	r, err := a.Publish(ctx, bus.Event{Topic: "item", Keys: []string{"1"}})
	require.NoError(t, err)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, a.Confirm(ended, r), context.Canceled)
	a.stop()
	require.ErrorIs(t, a.Confirm(ctx, r), bus.ErrNotRunning)
	require.NoError(t, bus.NewLocal().Confirm(ctx, r))
}

// TestConfirmWithBlockedPod: a pod whose subscriber hangs has not applied the event, so it delays the confirmation by
// the pod lease, after which it is not fresh any more.
func TestConfirmWithBlockedPod(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, start := shortLease(t)
	pods := start("a", "b")
	a, b := pods[0], pods[1]
	release := make(chan struct{})
	t.Cleanup(b.Subscribe("item", bus.SubscriberFuncs{OnInvalidate: func(bus.Delivery) { <-release }}))
	t.Cleanup(func() { close(release) })
	time.Sleep(2100 * time.Millisecond) // the epoch has been watched for a pod lease: from now on positions decide
	r, err := a.Publish(ctx, bus.Event{Topic: "item", Keys: []string{"1"}})
	require.NoError(t, err)
	begin := time.Now()
	require.NoError(t, a.Confirm(ctx, r))
	require.GreaterOrEqual(t, time.Since(begin), 1900*time.Millisecond, "not before the lease has passed")
	require.False(t, b.Fresh(), "and then the pod that did not apply it does not trust its cache")
	require.True(t, a.Fresh())
}

// TestConfirm_AfterGap: the mark with which a new pod asks for positions can begin where no other pod is yet. Then the others
// read the log first, however lately they have read, and beat afterwards: a beat before would show nothing new, and Confirm
// would have to ask again.
func TestConfirm_AfterGap(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	_, err := pool.Exec(ctx, "UPDATE pgcoherence.setting SET pod_lease = '1 hour'")
	require.NoError(t, err)
	start(t, pool, quick("a"))
	b := start(t, pool, &bus.Config{
		Name: "b", Logger: quiet,
		StaleAfter: 12 * time.Minute, BeatInterval: 4 * time.Minute, // it beats on request only,
		SweepInterval: 10 * time.Minute, PollInterval: 10 * time.Minute, // and does not read twice
	})
	eventually(t, func() bool { return b.Stats().Gaps+b.Stats().Polls > 0 }, "b has read, as every pod does at its start")

	for range 10 {
		var now string
		require.NoError(t, pool.QueryRow(ctx, "SELECT pg_current_xact_id()::text").Scan(&now)) // so that no pod is there
		require.NoError(t, pool.QueryRow(ctx, "SELECT pg_current_snapshot()::text").Scan(&now))
		_, err = pool.Exec(ctx, "SELECT pg_notify($1, $2)", b.Channel(), b.MarkPayload(t, now))
		require.NoError(t, err)
		eventually(t, func() bool {
			var passed bool
			require.NoError(t, pool.QueryRow(ctx, `SELECT pos_xmax >= pg_snapshot_xmax($1::text::pg_snapshot) FROM pgcoherence.pod
				WHERE id = $2::text::uuid`, now, b.ID()).Scan(&passed))
			return passed
		}, "b's beat shows that it is past %s", now)
	}
}
