package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// TestAccounts runs one pod in this process, on a real Postgres.
func TestAccounts(t *testing.T) {
	pgtest.RequireBinaries(t)
	db, err := openDatabase(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	b, err := bus.NewPostgres(db.Pool, &bus.Config{Name: "A", Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	a, err := newAccounts(b, db.Pool)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	p := &pod{name: "A", pool: db.Pool, bus: b, accounts: a}
	ask := func(method, path string) (int, reply) {
		w := httptest.NewRecorder()
		p.routes().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody))
		var r reply
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &r), w.Body.String())
		return w.Code, r
	}

	for range 2 { // the bus does not run yet, so nothing is trusted
		code, r := ask(http.MethodGet, "/accounts/alice")
		require.Equal(t, http.StatusOK, code)
		require.Equal(t, int64(100), r.Balance)
		require.False(t, r.Fresh)
		require.False(t, r.Cached)
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	require.Eventually(t, func() bool {
		_, r := ask(http.MethodGet, "/accounts/alice")
		return r.Cached && r.Fresh
	}, 20*time.Second, 5*time.Millisecond)

	code, wrote := ask(http.MethodPost, "/accounts/alice?amount=5")
	require.Equal(t, http.StatusOK, code)
	_, read := ask(http.MethodGet, "/accounts/alice")
	require.Equal(t, int64(105), read.Balance)
	require.Equal(t, wrote.Version, read.Version, "a pod reads its own writes")

	for range 2 { // the second response is from the cache
		code, _ = ask(http.MethodGet, "/accounts/nobody")
		require.Equal(t, http.StatusNotFound, code)
	}
	require.Positive(t, a.Stats().NegativeHits)
	code, _ = ask(http.MethodPost, "/accounts/nobody")
	require.Equal(t, http.StatusNotFound, code)
	code, _ = ask(http.MethodPost, "/accounts/alice?amount=much")
	require.Equal(t, http.StatusBadRequest, code)
}
