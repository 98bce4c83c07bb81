package bus_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDepartures: what became of a pod is in the database, for every pod to read, and is told apart.
func TestDepartures(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	a, b := start(t, pool, quick("a")), start(t, pool, quick("b"))
	start(t, pool, quick("c"))

	// b ends in order. The row of d is taken away as that of a dead pod is.
	b.stop()
	_, err := pool.Exec(ctx, `INSERT INTO pgcoherence.pod (id, name, beat_at) VALUES ('00000000-0000-0000-0000-00000000000d', 'd', clock_timestamp() - interval '1 minute');
		DELETE FROM pgcoherence.pod WHERE name = 'd'`)
	require.NoError(t, err)

	cluster, err := a.Cluster(ctx, time.Minute)
	require.NoError(t, err)
	require.Len(t, cluster.Pods, 2)
	require.Len(t, cluster.Departed, 2)
	require.Equal(t, "b", cluster.Departed[0].Name)
	require.False(t, cluster.Departed[0].Lost)
	require.Equal(t, "d", cluster.Departed[1].Name)
	require.True(t, cluster.Departed[1].Lost)
	require.Greater(t, cluster.Departed[1].Age, 59*time.Second)

	// One that comes back, as after a pause, is no longer gone, and has been up all the time.
	_, err = pool.Exec(ctx, `UPDATE pgcoherence.pod_departure SET started = clock_timestamp() - interval '2 hours' WHERE name = 'd';
		INSERT INTO pgcoherence.pod (id, name) VALUES ('00000000-0000-0000-0000-00000000000d', 'd')`)
	require.NoError(t, err)
	cluster, err = a.Cluster(ctx, time.Minute)
	require.NoError(t, err)
	require.Len(t, cluster.Departed, 1)
	require.Equal(t, "d", cluster.Pods[2].Name)
	require.Greater(t, cluster.Pods[2].Up, time.Hour)

	cluster, err = a.Cluster(ctx, 0)
	require.NoError(t, err)
	require.Empty(t, cluster.Departed)
}

// TestPodTimes: whatever times a row holds, the list of pods can be read and the row can be deleted.
func TestPodTimes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	a := start(t, pool, quick("a"))
	for _, at := range []string{"infinity", "-infinity", "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59"} {
		_, err := pool.Exec(ctx, `INSERT INTO pgcoherence.pod (id, name, started, beat_at) VALUES (gen_random_uuid(), 'odd', $1::text::timestamptz, $1::text::timestamptz)`, at)
		require.NoError(t, err, at)
		pods, err := a.Pods(ctx)
		require.NoError(t, err, at)
		require.NotEmpty(t, pods)
		_, err = pool.Exec(ctx, "DELETE FROM pgcoherence.pod WHERE name = 'odd'")
		require.NoError(t, err, at)
		_, err = a.Cluster(ctx, time.Hour)
		require.NoError(t, err, at)
	}
}
