package status_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/status"
)

// watcher is one client of the stream.
type watcher struct {
	answer *http.Response
	lines  *bufio.Scanner
	stop   context.CancelFunc
}

func watch(t *testing.T, server *httptest.Server) *watcher {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/events", http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := server.Client().Do(r) //nolint:bodyclose // close does it
	require.NoError(t, err)
	w := &watcher{answer, bufio.NewScanner(answer.Body), cancel}
	w.lines.Buffer(nil, 1<<20)
	t.Cleanup(w.close)
	return w
}

func (w *watcher) close() {
	w.stop()
	_ = w.answer.Body.Close()
}

// next is the next event.
func (w *watcher) next(t *testing.T) (name, data string) {
	t.Helper()
	for w.lines.Scan() {
		line := w.lines.Text()
		if after, ok := strings.CutPrefix(line, "event: "); ok {
			name = after
		}
		if after, ok := strings.CutPrefix(line, "data: "); ok {
			return name, after
		}
	}
	return "", ""
}

func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

// TestStream: the page is told at once and then each interval, with rates.
func TestStream(t *testing.T) {
	t.Parallel()
	b := newFakeBus().live()
	users := newCache(t, b, "users")
	h := newHandler(t, b, &status.Config{Token: token, Interval: 20 * time.Millisecond, Caches: []status.Cache{users}})
	w := watch(t, serve(t, h))
	require.Equal(t, "text/event-stream", w.answer.Header.Get("Content-Type"))
	name, data := w.next(t)
	require.Equal(t, "history", name)
	require.Equal(t, "null", data)
	_, err := users.Get(t.Context(), "a")
	require.NoError(t, err)

	sawEvents, sawReads, sawHistory := false, false, false
	for !sawEvents || !sawReads {
		_, err := b.Publish(t.Context(), bus.Event{Topic: "users", Keys: []string{"x"}})
		require.NoError(t, err)
		_, err = users.Get(t.Context(), "a")
		require.NoError(t, err)
		name, data = w.next(t)
		require.Equal(t, "status", name)

		var u struct {
			status.Report
			Sample struct {
				Events float64 `json:"events_per_second"`
			} `json:"sample"`
			Rates map[string]float64 `json:"topic_events_per_second"`
			Reads map[string]float64 `json:"cache_reads_per_second"`
		}
		require.NoError(t, json.Unmarshal([]byte(data), &u))
		require.Equal(t, "live", u.Bus.State)
		sawEvents = sawEvents || u.Rates["users"] > 0 && u.Sample.Events > 0
		sawReads = sawReads || u.Reads["users"] > 0
	}

	second := watch(t, serve(t, h))
	_, data = second.next(t)
	sawHistory = strings.Contains(data, "events_per_second")
	require.True(t, sawHistory, "who comes later sees what was before")
}

// TestStreamOutlivesTimeouts: those of a server are for requests that end.
func TestStreamOutlivesTimeouts(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(newHandler(t, newFakeBus().live(), &status.Config{Token: token, Interval: 20 * time.Millisecond}))
	server.Config.ReadTimeout, server.Config.WriteTimeout = 100*time.Millisecond, 100*time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	w := watch(t, server)
	for range 30 {
		name, _ := w.next(t)
		require.NotEmpty(t, name)
	}
}

// TestOneReader: the pods are read once per interval for all who watch, and not at all while nobody does.
func TestOneReader(t *testing.T) {
	t.Parallel()
	b := newFakeBus().live()
	h := newHandler(t, b, &status.Config{Token: token, Interval: 30 * time.Millisecond})
	server := serve(t, h)
	asked := func() (n int) { b.set(func() { n = b.asked }); return n }
	require.Zero(t, asked())
	var all []*watcher
	for range 20 {
		all = append(all, watch(t, server))
	}
	begin, before := time.Now(), asked()
	for range 10 {
		for _, w := range all {
			name, _ := w.next(t)
			require.NotEmpty(t, name)
		}
	}
	most := int(time.Since(begin)/(27*time.Millisecond)) + 2
	require.LessOrEqual(t, asked()-before, most)
	require.Positive(t, asked())
	for _, w := range all {
		w.close()
	}
	metric := func(line string) bool {
		_, body, _ := get(t, h, "/metrics", bearer(token)...)
		return strings.Contains(body, line)
	}
	eventually(t, func() bool { return metric("pgcoherence_status_watchers 0") }, "all have left")
	eventually(t, func() bool {
		n := asked()
		time.Sleep(100 * time.Millisecond) // three intervals in which nothing must happen
		return n == asked()
	}, "nobody reads any more")

	name, _ := watch(t, server).next(t)
	require.Equal(t, "history", name)
	n := asked()
	eventually(t, func() bool { return asked() > n }, "and it begins again")
}

func TestDrainEndsStreams(t *testing.T) {
	t.Parallel()
	h := newHandler(t, newFakeBus().live(), &status.Config{Token: token, Interval: 20 * time.Millisecond, MaxWatchers: 2})
	server := serve(t, h)
	a, b := watch(t, server), watch(t, server)
	c := watch(t, server)
	require.Equal(t, http.StatusTooManyRequests, c.answer.StatusCode, "two are enough")
	a.next(t)
	h.Drain()

	for _, w := range []*watcher{a, b} {
		last := ""
		for name, _ := w.next(t); name != ""; name, _ = w.next(t) {
			last = name
		}
		require.Equal(t, "end", last)
	}

	late := watch(t, server)
	text, err := io.ReadAll(late.answer.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, late.answer.StatusCode)
	require.Equal(t, "status: shutting down\n", string(text))
}
