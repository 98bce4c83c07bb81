package monitoring_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/tables"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/status"
)

const scrape = 500 * time.Millisecond

// prometheus is a real one that scrapes what a test serves.
type prometheusServer struct{ address string }

func startPrometheus(t *testing.T, targets []string) *prometheusServer {
	t.Helper()
	program := fromPackage(t, "prometheus")
	dir := t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: %v, evaluation_interval: %v}\nrule_files: [alerts.yml]\nscrape_configs:\n  - job_name: app\n    static_configs: [{targets: [%s]}]\n",
		scrape, scrape, strings.Join(targets, ", "))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600))
	// The alerts as they are, but for how long they wait: nobody has minutes here.
	alerts := strings.NewReplacer("for: 30s", "for: 1s").Replace(read(t, "alerts.yml"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "alerts.yml"), []byte(alerts), 0o600))

	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &prometheusServer{address: free.Addr().String()}
	require.NoError(t, free.Close())
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+p.address, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		require.NoError(t, log.Close())
		http.DefaultClient.CloseIdleConnections()
	})
	require.Eventually(t, func() bool {
		_, err := p.get(t.Context(), "/-/ready", nil)
		return err == nil
	}, 30*time.Second, 50*time.Millisecond)
	return p
}

func (p *prometheusServer) get(ctx context.Context, path string, query url.Values) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}

	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()

	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, body)
	}

	return body, err
}

// series are the values of a query over a time, by series; NaN is left out. The steps are counted back from now, so that
// the newest scrape is among them.
func (p *prometheusServer) series(t *testing.T, expr string, from time.Time) (all [][]float64) {
	t.Helper()
	now := time.Now()
	start := now.Add(-time.Since(from).Round(time.Second))
	body, err := p.get(t.Context(), "/api/v1/query_range", url.Values{
		"query": {expr}, "start": {stamp(start)}, "end": {stamp(now)}, "step": {"1"},
	})
	require.NoError(t, err, expr)

	var got struct {
		Data struct {
			Result []struct{ Values [][2]any }
		}
	}
	require.NoError(t, json.Unmarshal(body, &got))

	for _, r := range got.Data.Result {
		var values []float64
		for _, v := range r.Values {
			text, _ := v[1].(string)
			n, err := strconv.ParseFloat(text, 64)
			require.NoError(t, err)
			if !math.IsNaN(n) {
				values = append(values, n)
			}
		}

		if len(values) > 0 {
			all = append(all, values)
		}
	}

	return all
}

func stamp(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// most is the largest value of all series.
func most(all [][]float64) float64 {
	m := math.Inf(-1)
	for _, values := range all {
		for _, v := range values {
			m = max(m, v)
		}
	}
	return m
}

// busyPod is a pod with traffic, served for Prometheus.
func busyPod(t *testing.T, pool *pgxpool.Pool, name string) string {
	t.Helper()
	b, err := bus.NewPostgres(pool, &bus.Config{Name: name, Version: "v1", Logger: quiet, BeatInterval: 200 * time.Millisecond, StaleAfter: time.Second, Retention: time.Minute})
	require.NoError(t, err)
	load := cache.Func(func(_ context.Context, key string) (string, error) { return key, nil })
	users, err := cache.New(b, "users", load, &cache.Config[string, string]{Logger: quiet, Tier: nothing{}})
	require.NoError(t, err)
	locker, err := lock.New(b, pool, &lock.Config{Logger: quiet})
	require.NoError(t, err)
	sessions, err := sessionstore.New[string](b, pool, &sessionstore.Config[string]{Logger: quiet, SweepInterval: time.Second})
	require.NoError(t, err)
	h, err := status.New(b, &status.Config{
		Logger: quiet, PublicMetrics: true, Token: "a token for this test", Caches: []status.Cache{users}, Lockers: []status.Locker{locker}, Sessions: []status.Sessions{sessions},
	})
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{b.Run, locker.Run, sessions.Run, h.Run} {
		wg.Go(func() { _ = run(ctx) })
	}
	wg.Go(func() { traffic(ctx, b, users, locker, sessions, name) })
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.Close()
		cancel()
		wg.Wait()
		require.NoError(t, users.Close())
		require.NoError(t, sessions.Close())
	})
	return strings.TrimPrefix(server.URL, "http://")
}

func traffic(ctx context.Context, b *bus.Postgres, users *cache.Cache[string, string], locker *lock.Locker, sessions *sessionstore.Store[string], name string) {
	for i := 0; ctx.Err() == nil; i++ {
		brief, cancel := context.WithTimeout(ctx, time.Second)
		key := strconv.Itoa(i % 7)
		_, _ = users.Get(brief, key)

		if i%10 == 0 {
			_, _ = b.Publish(brief, bus.Event{Topic: "users", Keys: []string{key}})
			_ = locker.Do(brief, "job", func(context.Context, *lock.Lease) error { return nil })
		}

		if i%20 == 0 {
			if login, err := sessions.BeginLogin(brief, name); err == nil {
				if token, _, err := sessions.Create(brief, login, "", nil); err == nil {
					_, _ = sessions.Get(brief, token)
					_, _ = sessions.Revoke(brief, token)
				}
			}
		}

		cancel()

		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestDashboardOnPrometheus: a real Prometheus scrapes pods through a crash of their database. Every query of the dashboard
// has something to draw, those about trouble move, and the alert about it fires and ends.
func TestDashboardOnPrometheus(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t, &pgtest.Config{Logger: quiet})
	if server.Kind() == pgtest.KindDSN {
		t.Skip("*** NOT TESTED: this server is not ours to crash")
	}
	pool, err := pgxpool.New(t.Context(), server.DSN(""))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.NoError(t, tables.Make(t.Context(), pool))
	var targets []string
	for _, name := range []string{"web-1", "web-2"} {
		targets = append(targets, busyPod(t, pool, name))
	}
	p := startPrometheus(t, targets)
	begin := time.Now()
	becomes := func(message, expr string, right func(float64) bool) {
		t.Helper()
		require.Eventually(t, func() bool {
			all := p.series(t, expr, time.Now().Add(-2*time.Second))
			return len(all) > 0 && right(all[0][len(all[0])-1])
		}, 90*time.Second, 200*time.Millisecond, message)
	}
	is := func(want float64) func(float64) bool { return func(got float64) bool { return got == want } }

	becomes("both are scraped, and in sync", "sum(pgcoherence_bus_fresh)", is(2))
	becomes("there is traffic", "sum(pgcoherence_bus_published_total)", func(n float64) bool { return n > 20 })
	becomes("the sweep measures the log", "max(pgcoherence_bus_log_rows)", func(n float64) bool { return n > 0 })
	require.NoError(t, server.StopImmediate(t.Context()))
	becomes("nobody trusts its caches", "sum(pgcoherence_bus_fresh)", is(0))
	becomes("somebody is called", `count(ALERTS{alertname="PgcoherenceAllPodsStale", alertstate="firing"})`, is(1))
	require.NoError(t, server.Start(t.Context()))
	becomes("they are in sync again", "sum(pgcoherence_bus_fresh)", is(2))
	becomes("and the alert is over", `count(ALERTS{alertname="PgcoherenceAllPodsStale", alertstate="firing"}) or vector(0)`, is(0))
	becomes("both resets are counted", `sum(pgcoherence_bus_resets_total{reason!="start"})`, func(n float64) bool { return n >= 2 })
	becomes("the session sweep counts", "max(count_over_time(pgcoherence_session_active[1m]))", func(n float64) bool { return n >= 6 })

	// As Grafana fills the variables in: four scrapes are the least that rate needs.
	fill := strings.NewReplacer("$__rate_interval", (4 * scrape).String(), "$job", ".+", "$instance", ".+")
	trouble := map[string]float64{
		"Oldest proof, of StaleAfter": 1, "Age of the proof": 1, "Resets, 1 h": 0, "Resets by reason": 0, "Trouble": 0, "Pods not live": 0,
	}
	drawn := 0
	for _, panel := range panels(t) {
		var all [][]float64
		for _, expr := range panel.exprs {
			all = append(all, p.series(t, fill.Replace(expr), begin)...)
			drawn++
		}
		require.NotEmpty(t, all, "%s has nothing to draw: %v", panel.title, panel.exprs)
		if above, ok := trouble[panel.title]; ok {
			require.Greater(t, most(all), above, "%s stays flat while there is trouble", panel.title)
		}
		delete(trouble, panel.title)
	}
	require.Empty(t, trouble, "no such panels")
	require.Greater(t, drawn, 50)
}

type drawnPanel struct {
	title string
	exprs []string
}

// panels are those of the dashboard that draw something.
func panels(t *testing.T) (all []drawnPanel) {
	t.Helper()

	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(read(t, "dashboard.json")), &dashboard))

	for _, p := range dashboard.Panels {
		one := drawnPanel{title: p.Title}
		for _, target := range p.Targets {
			one.exprs = append(one.exprs, target.Expr)
		}
		if len(one.exprs) > 0 {
			all = append(all, one)
		}
	}

	return all
}
