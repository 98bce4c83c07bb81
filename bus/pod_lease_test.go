package bus_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// The pod lease can be changed while pods run, and only to what they all keep to.
func TestSetPodLease(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	a := start(t, pool, quick("a"))
	long := quick("long")
	long.StaleAfter = 7 * time.Second
	b := prepare(t, pool, long)
	require.ErrorIs(t, b.Run(ctx), bus.ErrConfig, "the lease is 5 s")

	began := time.Now()
	require.NoError(t, bus.SetPodLease(ctx, pool, "", 8*time.Second))
	require.GreaterOrEqual(t, time.Since(began), 5*time.Second, "confirmations that began with the shorter lease end first")
	c := start(t, pool, long)

	require.ErrorContains(t, bus.SetPodLease(ctx, pool, "", 6*time.Second), "long", "a pod that trusts for longer is named")
	c.stop()
	require.ErrorContains(t, bus.SetPodLease(ctx, pool, "", 3*time.Second), "a")
	require.NoError(t, bus.SetPodLease(ctx, pool, "", 4*time.Second))
	var seconds float64
	require.NoError(t, pool.QueryRow(ctx, "SELECT extract(epoch FROM pod_lease)::float8 FROM pgcoherence.setting").Scan(&seconds))
	require.InDelta(t, 4, seconds, 0)
	require.True(t, a.Fresh())

	// A pod of an older version reads the lease when it connects, and never again.
	_, err := pool.Exec(ctx, "INSERT INTO pgcoherence.pod (id, name) VALUES (gen_random_uuid(), 'old')")
	require.NoError(t, err)
	_, err = pool.Exec(ctx, "CALL pgcoherence.set_pod_lease('9 seconds', '300 milliseconds')")
	require.ErrorContains(t, err, "old")
	require.NoError(t, pool.QueryRow(ctx, "SELECT extract(epoch FROM greatest(pod_lease, next_pod_lease))::float8 FROM pgcoherence.setting").Scan(&seconds))
	require.InDelta(t, 4, seconds, 0, "and nothing is changed")
	for _, bad := range []time.Duration{-time.Second, 0, 99 * time.Millisecond, 2 * time.Hour} {
		require.Error(t, bus.SetPodLease(ctx, pool, "", bad))
	}
	require.ErrorIs(t, bus.SetPodLease(ctx, pool, "No Such", time.Second), bus.ErrConfig)
}

// However the lease came to be too short: a confirmation waits for what a pod that is cut off says it needs.
func TestConfirmWaitsForTheLongestTrust(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	a := start(t, pool, quick("a"))
	_, err := pool.Exec(ctx, "INSERT INTO pgcoherence.pod (id, name, trusts_ms) VALUES (gen_random_uuid(), 'cut off', 6300)")
	require.NoError(t, err)

	began := time.Now()
	r, err := a.Publish(ctx, bus.Event{Topic: "item", Keys: []string{"1"}})
	require.NoError(t, err)
	require.NoError(t, a.Confirm(ctx, r))
	require.GreaterOrEqual(t, time.Since(began), 7*time.Second)
}

// A pod that has just started confirms at once in an epoch that another pod has watched for a pod lease.
func TestConfirmSoonAfterAStart(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	_, err := pool.Exec(t.Context(), "UPDATE pgcoherence.setting SET pod_lease = '10 minutes'")
	require.NoError(t, err)
	a := start(t, pool, quick("a"))
	a.WatchedFor(time.Hour)
	late := start(t, pool, quick("late"))
	r, err := late.Publish(t.Context(), bus.Event{Topic: "item", Keys: []string{"1"}})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, late.Confirm(ctx, r), "and not only after ten minutes")
}
