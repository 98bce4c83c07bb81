package status_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/status"
)

func TestConditions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pod  bus.Pod
		want status.Condition
	}{
		"live":        {bus.Pod{State: "live", Synced: true}, status.ConditionLive},
		"old epoch":   {bus.Pod{State: "live"}, status.ConditionDegraded},
		"polling":     {bus.Pod{State: "polling", Synced: true}, status.ConditionDegraded},
		"catching up": {bus.Pod{State: "catching-up"}, status.ConditionDegraded},
		"stale":       {bus.Pod{State: "stale", Synced: true}, status.ConditionStale},
		"silent":      {bus.Pod{State: "live", Synced: true, Age: 3100 * time.Millisecond}, status.ConditionLost},
	} {
		pods := status.NewFleet("a", 3*time.Second, time.Minute).See([]bus.Pod{tc.pod}, time.Now())
		require.Len(t, pods, 1, name)
		require.Equal(t, tc.want, pods[0].Condition, name)
	}
}

// TestGonePods: one that was killed stays red for a while after its row went, one that ended in order is told apart, and
// one that comes back under its id is no longer gone.
func TestGonePods(t *testing.T) {
	t.Parallel()
	f := status.NewFleet("a", 3*time.Second, time.Minute)
	now := time.Now()
	pod := func(id string, age time.Duration) bus.Pod {
		return bus.Pod{ID: id, Name: id, State: "live", Synced: true, Age: age}
	}
	conditions := func(pods []status.Pod) map[string]status.Condition {
		found := make(map[string]status.Condition)
		for _, p := range pods {
			found[p.ID] = p.Condition
		}
		return found
	}
	step := func(d time.Duration, pods ...bus.Pod) []status.Pod {
		now = now.Add(d)
		return f.See(pods, now)
	}
	all := step(0, pod("a", 0), pod("b", 0), pod("c", 0))
	require.True(t, all[0].Self)
	require.False(t, all[1].Self)

	step(time.Second, pod("a", 0), pod("b", time.Second)) // c took its row with it
	step(time.Second, pod("a", 0), pod("b", 2*time.Second))
	require.Equal(t, map[string]status.Condition{"a": "live", "b": "lost", "c": "left"},
		conditions(step(2*time.Second, pod("a", 0), pod("b", 4*time.Second))))
	all = step(time.Second, pod("a", 0)) // b's row was taken away
	require.Equal(t, map[string]status.Condition{"a": "live", "b": "lost", "c": "left"}, conditions(all))
	require.Equal(t, []string{"a", "b", "c"}, []string{all[0].ID, all[1].ID, all[2].ID}, "those gone come last")
	require.InDelta(t, 5, all[1].BeatAgeSeconds, 0.01)

	require.Equal(t, map[string]status.Condition{"a": "live", "b": "lost", "c": "live"}, conditions(step(time.Second, pod("a", 0), pod("c", 0))))
	for range 20 {
		all = step(3*time.Second, pod("a", 0), pod("c", 0))
	}
	require.Equal(t, map[string]status.Condition{"a": "live", "c": "live"}, conditions(all), "after a while it is forgotten")

	step(time.Minute, pod("a", 0)) // nobody looked for a minute: what became of c is not known
	require.Equal(t, map[string]status.Condition{"a": "live"}, conditions(step(time.Second, pod("a", 0))))
}
