package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func TestMain(m *testing.M) {
	// expirable's goroutine cannot be ended in the version that is measured.
	// Neither of these can be ended: scs' StopCleanup does nothing until the goroutine has begun.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/hashicorp/golang-lru/v2/expirable.NewLRU[...].func1"),
		goleak.IgnoreAnyFunction("github.com/alexedwards/scs/v2/memstore.(*MemStore).startCleanup"))
}

// TestCommands runs the measurements with next to no data, on a real server:
// their figures mean nothing, but the checks of what was done all run.
func TestCommands(t *testing.T) {
	t.Parallel()
	pgtest.RequireBinaries(t) // the others are not worth their time here

	t.Run("write", func(t *testing.T) {
		r, err := measureWrite(t.Context(), writePlan{
			Rounds: 1, Pace: pace{10 * time.Millisecond, 60 * time.Millisecond}, Warmup: 20 * time.Millisecond, Writers: []int{1, 4},
			Disks: []disk{disks[0], disks[2]},
		})
		require.NoError(t, err)
		variants := []string{"trigger", "watermill", "outbox", "floor_lazy", "floor", "notify", "bare"}
		if r.Counts["redis left out"] == nil {
			variants = append([]string{"redis"}, variants...)
		}
		names := []string{"write.server_us", "write.client_us"}
		for _, variant := range variants {
			names = append(names, "write.server_us."+variant, "write.client_us."+variant)
		}
		requireResults(t, r, append(names,
			"write.ratio.ssd", "write.ratio.2ms", "write.ratio.floor", "write.ratio.floor_lazy", "write.vs_notify.2ms",
			"write.ratio.ssd.1", "write.ratio.2ms.1", "write.ratio.floor.1", "write.ratio.floor_lazy.1", "write.vs_notify.2ms.1")...)
		require.Len(t, r.rows, 1+2*2*(len(variants)+1), "a header, and disks by writers by variants")
		require.Len(t, r.Charts, 2)
	})
	t.Run("delay", func(t *testing.T) {
		r, err := measureDelay(t.Context(), delayPlan{
			Rate: 100, Length: 300 * time.Millisecond, Unaware: 5, Pods: 2, Idle: 200 * time.Millisecond,
			Curve: curvePlan{Pods: []int{2, 3}, Rates: []int{50, 100}, Slot: 100 * time.Millisecond, Lead: 20 * time.Millisecond},
		})
		require.NoError(t, err)
		require.Len(t, r.Charts, 2)
		require.GreaterOrEqual(t, len(r.Charts[0].Panels[0].Lines), 5, "a line for each way")
		requireResults(t, r, "delay.p50_ms", "delay.p99_ms", "delay.sql_p50_ms", "delay.sql_p99_ms",
			"delay.ratio_raw_notify", "delay.ratio_raw_notify_return", "delay.sweep_idle_percent")
	})
	t.Run("idle", func(t *testing.T) {
		r, err := measureIdle(t.Context(), idlePlan{Pods: []int{2}, Settle: 500 * time.Millisecond, Length: 2 * time.Second})
		require.NoError(t, err)
		requireResults(t, r, "idle.statements_per_day.2", "idle.wal_mb_per_day.2", "idle.xids_per_day.2")
	})
	t.Run("confirm", func(t *testing.T) {
		r, err := measureConfirm(t.Context(), confirmPlan{Lease: 600 * time.Millisecond, Points: []confirmPoint{{2, 4, 2}, {3, 2, 1}}})
		require.NoError(t, err)
		requireResults(t, r, "confirm.p50_ms.2", "confirm.first_ms", "confirm.p50_ms.3")
		require.Len(t, r.rows, 1+2*3+1, "a header, points by ways, and the first of a pod")
	})
	t.Run("fanout", func(t *testing.T) {
		requireProc(t)
		r, err := measureFanout(t.Context(), fanoutPlan{
			Rate: 100, Main: 3, Lead: 50 * time.Millisecond, Idle: 10 * time.Millisecond,
			Points: []fanoutPoint{{2, 1, 200 * time.Millisecond}, {3, 2, 200 * time.Millisecond}, {10_000, 1, time.Second}},
		})
		require.NoError(t, err)
		requireResults(t, r, "fanout.p99_ms.2", "fanout.notify_p99_ms.2", "fanout.cpu_ratio_notify.2", "fanout.cpu_ratio_bare.2",
			"fanout.p99_ms.3", "fanout.notify_p99_ms.3", "fanout.cpu_ratio_notify", "fanout.cpu_ratio_bare")
		require.Len(t, r.rows, 1+2*4, "a header, and points by variants, with one for the idle pods")
		require.Contains(t, r.Counts, "10000 pods left out")
	})
	t.Run("catchup", func(t *testing.T) {
		r, err := measureCatchup(t.Context(), catchupPlan{
			Logged: 5000, Missed: 100, Samples: 2, Outages: 2, Outage: 200 * time.Millisecond, Cached: 1000, Changed: 10,
		})
		require.NoError(t, err)
		requireResults(t, r, "catchup.log_1m_ms", "catchup.log_1m_again_ms", "catchup.log_1m_default_ms", "catchup.loads", "catchup.loads_otter")
		loads := r.Results[len(r.Results)-2:]
		require.LessOrEqual(t, loads[0].Value, 11.0, "what has changed, and hardly more")
		require.InDelta(t, 1000, loads[1].Value, 0)
		for _, row := range r.rows[1:] {
			require.Regexp(t, `^\w+ Scan.* \(custom\), \w+ Scan.* \(generic\)$`, row[len(row)-1])
		}
	})
}

// requireResults also checks that the report can be written in both forms.
func requireResults(t *testing.T, r *report, names ...string) {
	t.Helper()
	require.Equal(t, names, resultNames(r))

	file := filepath.Join(t.TempDir(), "report.json")
	var out bytes.Buffer
	require.NoError(t, (&options{json: file}).publish(&out, &run{Reports: []*report{r}}))
	require.Regexp(t, `(?s)\nRESULT \S+ -?[0-9.]+\n$`, out.String())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var all run
	require.NoError(t, json.Unmarshal(text, &all))
	require.Len(t, all.Reports, 1)
	back := all.Reports[0]
	require.Equal(t, r.Results, back.Results)
	require.Equal(t, r.Environment, back.Environment)
	require.NotEmpty(t, back.Environment.Postgres)
}

func resultNames(r *report) (names []string) {
	for _, one := range r.Results {
		names = append(names, one.Name)
	}
	return names
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"unknown command":  {"nothing"},
		"unknown flag":     {"write", "-shorter"},
		"rate of nothing":  {"delay", "-rate", "0"},
		"no pods":          {"fanout", "-pods", "1"},
		"many events":      {"fanout", "-rate", "100000"},
		"too much":         {"write", "more"},
		"json of no value": {"write", "-json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Error(t, execute(t.Context(), args, new(bytes.Buffer)))
		})
	}
}
