package status_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/status"
)

func report(t *testing.T, h http.Handler) (status.Report, map[string]any) {
	t.Helper()
	code, body, head := get(t, h, "/status", bearer(token)...)
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "application/json", head.Get("Content-Type"))
	require.Equal(t, "no-store", head.Get("Cache-Control"))
	var r status.Report
	require.NoError(t, json.Unmarshal([]byte(body), &r))
	var raw map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &raw))
	return r, raw
}

// TestReport: the field names of the guide per cache, and ours.
func TestReport(t *testing.T) {
	t.Parallel()
	b := newFakeBus().live()
	b.pods = []bus.Pod{{ID: "self", Name: "web-1", State: "live", Synced: true}, {ID: "other", Name: "web-2", State: "polling", Synced: true, Behind: 7}}
	users, settings := newCache(t, b, "users"), newCache(t, b, "settings")
	tier := &pingTier{size: 150}
	h := newHandler(t, b, &status.Config{
		Token: token, Name: "web-1", Version: "1.2.3", Caches: []status.Cache{users, settings},
		Tiers: map[string]status.Tier{"users": tier}, Interval: 20 * time.Millisecond,
	})
	for _, key := range []string{"secret-key", "secret-key", "secret-key", "b"} {
		_, err := users.Get(t.Context(), key)
		require.NoError(t, err)
	}
	_, err := b.Publish(t.Context(), bus.Event{Topic: "users", Keys: []string{"b"}})
	require.NoError(t, err)

	r, raw := report(t, h)
	require.Equal(t, status.SchemaVersion, r.SchemaVersion)
	require.Equal(t, "self", r.PodID)
	require.Equal(t, "ok", r.Ready)
	require.Equal(t, "live", r.Bus.State)
	require.True(t, r.Bus.Fresh)
	require.NotNil(t, r.Bus.FreshAgeSeconds)
	require.Len(t, r.Pods, 2)
	require.Equal(t, status.ConditionDegraded, r.Pods[1].Condition)
	require.EqualValues(t, 7, r.Pods[1].Behind)

	caches, ok := raw["caches"].(map[string]any)
	require.True(t, ok)
	one, ok := caches["users"].(map[string]any)
	require.True(t, ok)
	for _, field := range []string{"type", "size", "local_size", "redis_size", "redis_available", "pod_id", "event_queue_size"} {
		require.Contains(t, one, field)
	}
	c := r.Caches["users"]
	require.Equal(t, "hybrid", c.Type)
	require.EqualValues(t, 150, c.Size)
	require.EqualValues(t, 150, *c.RedisSize)
	require.Equal(t, 1, c.LocalSize)
	require.True(t, c.RedisAvailable)
	require.Equal(t, "self", c.PodID)
	require.Zero(t, c.EventQueueSize)
	require.InDelta(t, 0.5, *c.HitRatio, 1e-9)
	require.Equal(t, "local", r.Caches["settings"].Type)
	require.Nil(t, r.Caches["settings"].HitRatio)
	require.Nil(t, r.Caches["settings"].RedisSize)
	text, err := json.Marshal(raw)
	require.NoError(t, err)
	require.NotContains(t, string(text), "secret-key")

	tier.mu.Lock()
	tier.err = errors.New("away")
	tier.mu.Unlock()
	b.set(func() { b.err = errors.New("connection refused") })
	eventually(t, func() bool { r, _ = report(t, h); return r.PodsError != "" && !r.Caches["users"].RedisAvailable }, "the outage shows")
	require.Len(t, r.Pods, 2, "as last read")
}

// TestReportOfLocal: a bus without a database has no other pods, and nothing is null where a list is meant.
func TestReportOfLocal(t *testing.T) {
	t.Parallel()
	h := newHandler(t, bus.NewLocal(), &status.Config{Token: token})
	_, body, _ := get(t, h, "/status", bearer(token)...)
	require.Contains(t, body, `"pods":[]`)
	require.Contains(t, body, `"last_resets":[]`)
	require.Contains(t, body, `"topics":[]`)
	require.Contains(t, body, `"caches":{}`)
	require.False(t, strings.Contains(body, `"locks"`) || strings.Contains(body, `"sessions"`))
}

// TestStatusAsksOnce: however many ask at once, the pods are read once per interval.
func TestStatusAsksOnce(t *testing.T) {
	t.Parallel()
	b := newFakeBus().live()
	h := newHandler(t, b, &status.Config{Token: token, Interval: time.Hour})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/status", http.NoBody)
			r.Header.Set("Authorization", "Bearer "+token)
			h.ServeHTTP(httptest.NewRecorder(), r)
		})
	}
	wg.Wait()
	b.set(func() { require.Equal(t, 1, b.asked) })
}
