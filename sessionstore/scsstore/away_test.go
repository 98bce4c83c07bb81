package scsstore_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// ownServer is a Postgres that a test may stop.
type ownServer struct {
	pod         *pod
	stop, start func()
}

func pgtestServer(t *testing.T) *ownServer {
	t.Helper()
	pgtest.RequireBinaries(t)
	server := pgtest.NewServer(t, nil)
	dsn := server.DSN("")
	require.NoError(t, template.Make(t.Context(), dsn))
	p := newPod(t, &pgtest.DB{DSN: dsn, Server: server}, "own", options{})
	p.ErrorFunc = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusInternalServerError) }
	return &ownServer{
		pod:   p,
		stop:  func() { require.NoError(t, server.StopImmediate(t.Context())) },
		start: func() { require.NoError(t, server.Start(t.Context())) },
	}
}
