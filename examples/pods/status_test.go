package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/status"
)

// TestStatusPages: the pages are mounted below their path, need the token, and do not hide the pod's own /status.
func TestStatusPages(t *testing.T) {
	t.Parallel()
	const token = "a token for this test"
	b := bus.NewLocal()
	a, err := newAccounts(b, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, a.Close()) }()

	pages, err := status.New(b, &status.Config{Token: token, Caches: []status.Cache{a}})
	require.NoError(t, err)

	p := &pod{name: "A", accounts: a, pages: pages}
	get := func(path, token string) (int, string) {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, path, http.NoBody)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		p.routes().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for _, page := range []string{"", "status", "metrics"} {
		code, body := get(statusPath+page, "")
		require.Equal(t, http.StatusUnauthorized, code, page)
		require.NotContains(t, body, topic)
		code, _ = get(statusPath+page, token)
		require.Equal(t, http.StatusOK, code, page)
	}

	_, metrics := get(statusPath+"metrics", token)
	require.Contains(t, metrics, `pgcoherence_cache_entries{cache="`+topic+`"}`)
	code, _ := get(statusPath+"readyz", "")
	require.Equal(t, http.StatusOK, code)
}
