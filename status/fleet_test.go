package status_test

import (
	"slices"
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
		pods := status.Fleet("a", 3*time.Second, bus.Cluster{Pods: []bus.Pod{tc.pod}})
		require.Len(t, pods, 1, name)
		require.Equal(t, tc.want, pods[0].Condition, name)
	}
}

// TestDepartedPods: pods that are gone are shown whoever looks, and told apart; one whose place was taken says by whom.
func TestDepartedPods(t *testing.T) {
	t.Parallel()
	pod := func(id string, up, age time.Duration) bus.Pod {
		return bus.Pod{ID: id, Name: "web-" + id, State: "live", Synced: true, Up: up, Age: age}
	}

	type shown struct {
		condition status.Condition
		by        string
	}

	for name, tc := range map[string]struct {
		cluster bus.Cluster
		want    map[string]shown
	}{
		"one left, one lost": {
			bus.Cluster{
				Pods:     []bus.Pod{pod("a", time.Hour, 0)},
				Departed: []bus.DepartedPod{{Pod: pod("b", time.Hour, time.Minute)}, {Pod: pod("c", time.Hour, time.Minute), Lost: true}},
			},
			map[string]shown{"a": {"live", ""}, "b": {"left", ""}, "c": {"lost", ""}},
		},
		"replaced, by the row of a dead pod and by a reaped one": {
			bus.Cluster{
				Pods:     []bus.Pod{pod("a", time.Hour, 0), pod("b", time.Hour, 4*time.Second), pod("d", 2*time.Second, 0), pod("e", 30*time.Second, 0)},
				Departed: []bus.DepartedPod{{Pod: pod("c", time.Hour, time.Minute), Lost: true}},
			},
			map[string]shown{"a": {"live", ""}, "b": {"lost", "web-d"}, "c": {"lost", "web-e"}, "d": {"live", ""}, "e": {"live", ""}},
		},
		"one newcomer takes one place": {
			bus.Cluster{
				Pods:     []bus.Pod{pod("a", time.Hour, 0), pod("d", 2*time.Second, 0)},
				Departed: []bus.DepartedPod{{Pod: pod("b", time.Hour, 10*time.Second), Lost: true}, {Pod: pod("c", time.Hour, 20*time.Second), Lost: true}},
			},
			map[string]shown{"a": {"live", ""}, "b": {"lost", ""}, "c": {"lost", "web-d"}, "d": {"live", ""}},
		},
		"who was there before takes nobody's place": {
			bus.Cluster{
				Pods:     []bus.Pod{pod("a", 20*time.Second, 0)},
				Departed: []bus.DepartedPod{{Pod: pod("b", time.Hour, 10*time.Second), Lost: true}},
			},
			map[string]shown{"a": {"live", ""}, "b": {"lost", ""}},
		},
		"this pod's own row is gone": {
			bus.Cluster{Departed: []bus.DepartedPod{{Pod: pod("a", time.Hour, 10*time.Second), Lost: true}}},
			map[string]shown{"a": {"lost", ""}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pods := status.Fleet("a", 3*time.Second, tc.cluster)
			found := make(map[string]shown)
			selves := 0
			for i, p := range pods {
				found[p.ID] = shown{p.Condition, p.ReplacedBy}
				if p.Self {
					selves++
				}
				gone := slices.ContainsFunc(tc.cluster.Departed, func(d bus.DepartedPod) bool { return d.ID == p.ID })
				require.Equal(t, i >= len(tc.cluster.Pods), gone, "those gone come last")
			}

			require.Equal(t, tc.want, found)
			require.LessOrEqual(t, selves, 1)
		})
	}
}
