package monitoring_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

var update = flag.Bool("update", false, "write metrics.md anew")

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func rules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "alerts.yml")), &file))
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(text)
}

// fromPackage returns where a program of Debian's package prometheus is.
func fromPackage(t *testing.T, name string) string {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		pgtest.Missing(t, "%s is not on this machine (Debian: apt-get install prometheus)", name)
	}
	return program
}

func promtool(t *testing.T, input io.Reader, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), fromPackage(t, "promtool"), args...)
	cmd.Stdin = input
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// TestMetricsAreWell: what is exported keeps to the conventions, in client_golang's eyes and in Prometheus' own.
func TestMetricsAreWell(t *testing.T) {
	t.Parallel()
	registry := application(t)
	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
	require.Contains(t, w.Body.String(), "pgcoherence_session_active")
	promtool(t, w.Body, "check", "metrics")
}

func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool(t, nil, "check", "rules", "alerts.yml")
	promtool(t, nil, "test", "rules", "alerts_test.yml")
}

func TestPrometheusConfig(t *testing.T) {
	t.Parallel()
	promtool(t, nil, "check", "config", "--syntax-only", "prometheus.yml")
}

// TestAlertsAreWhole: each alert has a severity, words, a runbook entry, and a case where it fires and one where it does not.
func TestAlertsAreWhole(t *testing.T) {
	t.Parallel()
	runbook, cases := read(t, "runbook.md"), read(t, "alerts_test.yml")
	for _, r := range rules(t) {
		require.Contains(t, []string{"info", "warning", "critical"}, r.Labels["severity"], r.Alert)
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		require.NotEmpty(t, r.Annotations["description"], r.Alert)
		require.True(t, strings.HasSuffix(r.Annotations["runbook_url"], "/runbook.md#"+strings.ToLower(r.Alert)), r.Alert)
		require.Contains(t, runbook, "\n## "+r.Alert+"\n", r.Alert)
		require.Contains(t, cases, "name: fire_"+r.Alert+"\n", r.Alert)
		require.Contains(t, cases, "name: quiet_"+r.Alert+"\n", r.Alert)

		entry := strings.SplitN(strings.SplitN(runbook, "\n## "+r.Alert+"\n", 2)[1], "\n## ", 2)[0]
		for _, part := range []string{"**Means.**", "**Look at.**", "**Do.**"} {
			require.Contains(t, entry, part, r.Alert)
		}
	}

	for _, heading := range regexp.MustCompile(`(?m)^## (Pgcoherence\w+)$`).FindAllStringSubmatch(runbook, -1) {
		require.True(t, slices.ContainsFunc(rules(t), func(r rule) bool { return r.Alert == heading[1] }), "%s is no alert", heading[1])
	}
}

var (
	metricName = regexp.MustCompile(`pgcoherence_[a-z_]+`)
	matcher    = regexp.MustCompile(`([a-z_]+)\s*(=~|!=|!~|=)\s*"([^"]*)"`)
	selector   = regexp.MustCompile(`(pgcoherence_[a-z_]+)\{([^}]*)\}`)
)

// requireExported checks that every metric of an expression is exported, and that so is every value that a label is
// compared with.
func requireExported(t *testing.T, all map[string]*dto.MetricFamily, expr, where string) {
	t.Helper()
	names := metricName.FindAllString(expr, -1)
	require.NotEmpty(t, names, where)

	for _, name := range names {
		require.NotNil(t, family(all, name), "%s: %s is not exported", where, name)
	}

	for _, s := range selector.FindAllStringSubmatch(expr, -1) {
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			if m[1] == "job" || m[1] == "instance" { // Prometheus' own
				continue
			}
			for value := range strings.SplitSeq(m[3], "|") {
				require.True(t, hasLabel(family(all, s[1]), m[1], value), "%s: %s has no %s=%q", where, s[1], m[1], value)
			}
		}
	}
}

func family(all map[string]*dto.MetricFamily, name string) *dto.MetricFamily {
	if f := all[name]; f != nil {
		return f
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if f := all[strings.TrimSuffix(name, suffix)]; f != nil && f.GetType() == dto.MetricType_HISTOGRAM {
			return f
		}
	}
	return nil
}

func hasLabel(f *dto.MetricFamily, label, value string) bool {
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == label && l.GetValue() == value {
				return true
			}
		}
	}
	return false
}

func TestAlertsNameMetrics(t *testing.T) {
	t.Parallel()
	all := exported(t)
	for _, r := range rules(t) {
		requireExported(t, all, r.Expr, r.Alert)
	}
	requireExported(t, all, read(t, "runbook.md"), "runbook")
}

// TestDashboard: every query names metrics that there are, and is PromQL.
func TestDashboard(t *testing.T) {
	t.Parallel()
	all := exported(t)

	var dashboard struct {
		UID        string `json:"uid"`
		Templating struct {
			List []struct {
				Definition string `json:"definition"`
			} `json:"list"`
		} `json:"templating"`
		Panels []struct {
			ID      int    `json:"id"`
			Type    string `json:"type"`
			Title   string `json:"title"`
			GridPos struct{ H, W, X, Y int }
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	require.NoError(t, json.Unmarshal([]byte(read(t, "dashboard.json")), &dashboard))
	require.Equal(t, "pgcoherence", dashboard.UID)

	for _, v := range dashboard.Templating.List {
		if v.Definition != "" {
			requireExported(t, all, v.Definition, "variable")
		}
	}

	var asRules strings.Builder
	asRules.WriteString("groups:\n  - name: panels\n    rules:\n")

	ids, queries := map[int]bool{}, 0
	for _, p := range dashboard.Panels {
		require.False(t, ids[p.ID], "%s: its id is another's", p.Title)
		ids[p.ID] = true
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		require.True(t, p.Type == "row" || len(p.Targets) > 0, p.Title)

		for _, target := range p.Targets {
			requireExported(t, all, target.Expr, p.Title)
			expr := strings.NewReplacer("$__rate_interval", "5m", "$__interval", "5m", "$job", ".+", "$instance", ".+").Replace(target.Expr)
			fmt.Fprintf(&asRules, "      - record: panel:%d\n        expr: %s\n", queries, strconv.Quote(expr))
			queries++
		}
	}

	require.Greater(t, queries, 30)
	file := filepath.Join(t.TempDir(), "panels.yml")
	require.NoError(t, os.WriteFile(file, []byte(asRules.String()), 0o600))
	promtool(t, nil, "check", "rules", file)
}

// TestMetricsTable: metrics.md says of each metric what the collectors say, and which alerts use it. Run with -update
// after a change.
func TestMetricsTable(t *testing.T) {
	t.Parallel()
	alerts := make(map[string][]string)
	all := exported(t)
	for _, r := range rules(t) {
		for _, name := range metricName.FindAllString(r.Expr, -1) {
			if n := family(all, name).GetName(); !slices.Contains(alerts[n], r.Alert) {
				alerts[n] = append(alerts[n], r.Alert)
			}
		}
	}

	var b strings.Builder
	b.WriteString("# Metrics\n\nEverything that pgcoherence exports. `go test ./examples/monitoring -update` writes this page from the " +
		"collectors themselves.\nWhich pod it is, the scrape's target says (`instance`). Counters count since the start of the process.\n" +
		"`pgcoherence_cache_audit_nines` is there once the auditor has compared entries, `pgcoherence_session_active` once a sweep has counted.\n")

	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}

	slices.Sort(names)

	section := ""
	for _, name := range names {
		if part := strings.SplitN(name, "_", 3)[1]; part != section {
			section = part
			fmt.Fprintf(&b, "\n## %s\n\n| metric | type | unit | labels | meaning | alerts |\n|---|---|---|---|---|---|\n", section)
		}

		f := all[name]
		var links []string
		for _, a := range alerts[name] {
			links = append(links, fmt.Sprintf("[%s](runbook.md#%s)", strings.TrimPrefix(a, "Pgcoherence"), strings.ToLower(a)))
		}

		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()), unit(f),
			strings.Join(labels(f), ", "), f.GetHelp(), strings.Join(links, ", "))
	}

	if *update {
		require.NoError(t, os.WriteFile("metrics.md", []byte(b.String()), 0o644))
	}

	require.Equal(t, b.String(), read(t, "metrics.md"), "run: go test ./examples/monitoring -update")
}

func unit(f *dto.MetricFamily) string {
	switch name := strings.TrimSuffix(f.GetName(), "_total"); {
	case strings.HasSuffix(name, "_seconds"):
		return "s"
	case strings.HasSuffix(name, "_ratio"):
		return "0–1"
	case strings.HasSuffix(name, "_nines"):
		return "nines"
	case strings.HasSuffix(name, "_cost"):
		return "that of Config.Cost"
	case f.GetType() == dto.MetricType_GAUGE && (strings.HasSuffix(name, "_state") || strings.HasSuffix(name, "_fresh")):
		return "0 or 1"
	}
	return "count"
}

// labels are those of a metric with their values, unless they are the user's to choose.
func labels(f *dto.MetricFamily) []string {
	values := make(map[string][]string)
	var order []string
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if values[l.GetName()] == nil {
				order = append(order, l.GetName())
			}
			if !slices.Contains(values[l.GetName()], l.GetValue()) {
				values[l.GetName()] = append(values[l.GetName()], l.GetValue())
			}
		}
	}

	slices.Sort(order)

	var out []string
	for _, name := range order {
		if slices.Contains([]string{"cache", "topic", "store", "locker", "name", "version"}, name) {
			out = append(out, "`"+name+"`")
			continue
		}
		slices.Sort(values[name])
		out = append(out, fmt.Sprintf("`%s` (%s)", name, strings.Join(values[name], ", ")))
	}

	return out
}

// TestExportedIsSeen: the checks find what is wrong.
func TestExportedIsSeen(t *testing.T) {
	t.Parallel()
	all := exported(t)
	require.Nil(t, family(all, "pgcoherence_bus_nothing_total"))
	require.Nil(t, family(all, "pgcoherence_bus_published_total_bucket"), "a counter has no buckets")
	require.NotNil(t, family(all, "pgcoherence_bus_delivery_seconds_bucket"))
	require.False(t, hasLabel(all["pgcoherence_bus_state"], "state", "asleep"))
	require.True(t, hasLabel(all["pgcoherence_bus_state"], "state", "stale"))
}
