package status_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/status"
)

// TestVerdict is the table of situations: each with the sentence and the colour that a person on call should see.
func TestVerdict(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	age := 0.2
	healthy := func() status.Report {
		return status.Report{
			At: now, Bus: status.BusReport{State: "live", Fresh: true, FreshAgeSeconds: &age},
			Pods: []status.Pod{
				{ID: "a", Name: "web-a", Condition: status.ConditionLive, Self: true},
				{ID: "b", Name: "web-b", Condition: status.ConditionLive},
				{ID: "c", Name: "web-c", Condition: status.ConditionLive},
			},
		}
	}
	pod := func(i int, condition status.Condition) func(*status.Report) {
		return func(r *status.Report) { r.Pods[i].Condition = condition }
	}

	for name, tc := range map[string]struct {
		change  []func(*status.Report)
		tone    status.Tone
		text    string
		details []string
	}{
		"healthy": {nil, status.ToneOK, "All 3 pods are in sync", nil},
		"alone":   {[]func(*status.Report){func(r *status.Report) { r.Pods = r.Pods[:1] }}, status.ToneOK, "In sync", nil},
		"one process without a database": {
			[]func(*status.Report){func(r *status.Report) { r.Pods = nil }}, status.ToneOK, "In sync", nil,
		},
		"a pod said goodbye": {[]func(*status.Report){pod(1, status.ConditionLeft)}, status.ToneOK, "All 2 pods are in sync", nil},
		"shutting down": {
			[]func(*status.Report){func(r *status.Report) { r.Draining = true }}, status.ToneOK, "All 3 pods are in sync", []string{"this pod is shutting down"},
		},
		"starting": {
			[]func(*status.Report){func(r *status.Report) { r.Bus = status.BusReport{State: "starting"} }}, status.ToneBad, "This pod has not been in sync yet", nil,
		},
		"stale": {
			[]func(*status.Report){func(r *status.Report) { r.Bus.Fresh, r.Bus.State = false, "stale" }, pod(0, status.ConditionStale)},
			status.ToneBad, "This pod does not trust its caches", nil,
		},
		"a total outage": {
			[]func(*status.Report){func(r *status.Report) {
				r.Bus.Fresh, r.Bus.State, r.PodsError, r.Bus.LastError = false, "stale", "timeout", "connection refused"
			}},
			status.ToneBad, "The database does not respond, and this pod does not trust its caches",
			[]string{"connection refused", "timeout"},
		},
		"closed, and the database is well": {
			[]func(*status.Report){func(r *status.Report) {
				r.Bus.Fresh, r.Bus.State, r.Bus.LastError = false, bus.Closed.String(), "password authentication failed"
			}},
			status.ToneBad, "This pod's bus has ended",
			[]string{"password authentication failed"},
		},
		"only the list is missing": {
			[]func(*status.Report){func(r *status.Report) { r.PodsError = "pool exhausted" }}, status.ToneWarn, "The list of pods cannot be read", []string{"pool exhausted"},
		},
		"a pod is lost": {
			[]func(*status.Report){pod(1, status.ConditionLost)}, status.ToneBad, "1 of 3 pods is lost, and nothing took its place", []string{"web-b"},
		},
		"two are lost": {
			[]func(*status.Report){pod(1, status.ConditionLost), pod(2, status.ConditionLost)},
			status.ToneBad, "2 of 3 pods are lost, and nothing took their place",
			[]string{"web-b, web-c"},
		},
		"crashed and replaced": {
			[]func(*status.Report){pod(1, status.ConditionLost), func(r *status.Report) { r.Pods[1].ReplacedBy, r.Pods[1].BeatAgeSeconds = "web-d", 15.4 }},
			status.ToneWarn, "1 pod crashed and was replaced, the last one 15s ago",
			[]string{"web-b"},
		},
		"one lost, one replaced": {
			[]func(*status.Report){pod(1, status.ConditionLost), pod(2, status.ConditionLost), func(r *status.Report) { r.Pods[2].ReplacedBy = "web-d" }},
			status.ToneBad, "1 of 2 pods is lost, and nothing took its place",
			[]string{"web-b", "1 pod crashed and was replaced, the last one 0s ago"},
		},
		"another is stale": {
			[]func(*status.Report){pod(1, status.ConditionStale)}, status.ToneBad, "1 of 3 pods is not trusting its caches", []string{"web-b"},
		},
		"another polls": {
			[]func(*status.Report){pod(1, status.ConditionDegraded)}, status.ToneWarn, "1 of 3 pods is catching up or polling", []string{"web-b"},
		},
		"the worst wins": {
			[]func(*status.Report){pod(1, status.ConditionDegraded), pod(2, status.ConditionLost)},
			status.ToneBad, "1 of 3 pods is lost, and nothing took its place",
			[]string{"web-c", "1 of 3 pods is catching up or polling"},
		},
		"reset in a loop": {
			[]func(*status.Report){func(r *status.Report) {
				for i := range 6 {
					r.Bus.LastResets = append(r.Bus.LastResets, status.ResetReport{At: now.Add(-time.Duration(i) * time.Second), Reason: bus.ReasonPruned})
				}
			}},
			status.ToneBad, "This pod was reset 6 times in a minute", nil,
		},
		"resets long ago": {
			[]func(*status.Report){func(r *status.Report) {
				for range 16 {
					r.Bus.LastResets = append(r.Bus.LastResets, status.ResetReport{At: now.Add(-time.Hour), Reason: bus.ReasonEpoch})
				}
			}},
			status.ToneOK, "All 3 pods are in sync", nil,
		},
		"the queue fills": {
			[]func(*status.Report){func(r *status.Report) { r.Bus.QueueUsage = 0.2 }},
			status.ToneWarn, "The server's notification queue is 20.00 % full",
			[]string{"status.Doctor names who holds it"},
		},
		"the queue is nearly full": {
			[]func(*status.Report){func(r *status.Report) { r.Bus.QueueUsage = 0.6 }},
			status.ToneBad, "The server's notification queue is 60.00 % full",
			[]string{"status.Doctor names who holds it"},
		},
		"Redis is away": {
			[]func(*status.Report){func(r *status.Report) {
				r.Caches = map[string]status.CacheReport{"users": {Type: "hybrid"}, "local": {Type: "local"}}
			}},
			status.ToneWarn, "The second level of the cache users does not respond", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := healthy()
			for _, change := range tc.change {
				change(&r)
			}
			v := status.Judge(&r)
			require.Equal(t, tc.text, v.Text)
			require.Equal(t, tc.tone, v.Tone)
			require.Equal(t, append([]string{}, tc.details...), v.Details)
		})
	}
}
