package status_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/status"
)

func TestLivez(t *testing.T) {
	t.Parallel()
	h := newHandler(t, newFakeBus(), nil)
	code, body, _ := get(t, h, "/livez")
	require.Equal(t, http.StatusOK, code, "whatever the bus does")
	require.Equal(t, "ok\n", body)
}

// TestReadyz goes through a pod's life.
func TestReadyz(t *testing.T) {
	t.Parallel()
	b := newFakeBus()
	h := newHandler(t, b, nil)
	strict := newHandler(t, b, &status.Config{Strict: true})
	requireReady := func(h *status.Handler, code int, word string) {
		t.Helper()
		got, body, _ := get(t, h, "/readyz")
		require.Equal(t, code, got)
		require.Equal(t, word+"\n", body)
	}
	requireReady(h, http.StatusServiceUnavailable, "not ready")
	_, body, _ := get(t, h, "/readyz?verbose")
	require.Equal(t, "[-]started the bus has not been in sync yet\n[+]draining ok\n[!]bus starting\nnot ready\n", body)

	b.set(func() { b.live() })
	requireReady(h, http.StatusOK, "ok")
	requireReady(strict, http.StatusOK, "ok")

	b.set(func() { b.state, b.fresh = bus.Stale, false })
	requireReady(h, http.StatusOK, "degraded")
	requireReady(strict, http.StatusServiceUnavailable, "not ready")
	code, body, _ := get(t, strict, "/readyz?verbose&exclude=bus")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "[+]started ok\n[+]draining ok\nok\n", body)

	b.set(func() { b.state, b.fresh = bus.Live, true })
	h.Drain()
	h.Drain()
	requireReady(h, http.StatusServiceUnavailable, "not ready")
	requireReady(strict, http.StatusOK, "ok")
	code, _, _ = get(t, h, "/livez")
	require.Equal(t, http.StatusOK, code, "a pod that drains is alive")

	b.set(func() { b.state, b.fresh = bus.Closed, false })
	requireReady(strict, http.StatusServiceUnavailable, "not ready")
}

func TestReadyzChecks(t *testing.T) {
	t.Parallel()
	broken := func(context.Context) error { return errors.New("password=hunter2") }
	for name, tc := range map[string]struct {
		check status.Check
		query string
		code  int
		body  string
	}{
		"good":     {status.Check{Name: "mail", Func: func(context.Context) error { return nil }}, "?verbose", 200, "[+]mail ok\nok\n"},
		"optional": {status.Check{Name: "mail", Func: broken}, "?verbose", 200, "[!]mail failed\ndegraded\n"},
		"required": {status.Check{Name: "mail", Func: broken, Required: true}, "?verbose", 503, "[-]mail failed\nnot ready\n"},
		"excluded": {status.Check{Name: "mail", Func: broken, Required: true}, "?verbose&exclude=mail", 200, "[+]bus live\nok\n"},
		"too slow": {
			status.Check{Name: "mail", Required: true, Func: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
			"", 503, "not ready\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHandler(t, newFakeBus().live(), &status.Config{Checks: []status.Check{tc.check}})
			code, body, _ := get(t, h, "/readyz"+tc.query)
			require.Equal(t, tc.code, code)
			require.Contains(t, body, tc.body)
			require.NotContains(t, body, "hunter2", "it needs no token")
		})
	}
}
