package databasesql_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

type cart = storetest.Cart

// sessionsIn opens a store in an SQLite file. The function stops it as the end of the process does.
func sessionsIn(t *testing.T, file string, cfg *sessionstore.Config[cart]) (s *sessionstore.LocalStore[cart], end func()) {
	t.Helper()
	db := open(t, "sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_pragma=synchronous(off)")
	s, err := sessionstore.OpenLocal(t.Context(), bus.NewLocal(), db, cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	<-s.Ready()

	done := false
	end = func() {
		if !done {
			done = true
			cancel()
			require.NoError(t, <-ended)
			require.NoError(t, s.Close())
		}
	}
	t.Cleanup(end)
	return s, end
}

// TestSessionsInSQLite runs the contract of all session stores on a store in a file.
func TestSessionsInSQLite(t *testing.T) {
	t.Parallel()
	storetest.SessionsContract(t, func(t *testing.T, cfg *sessionstore.Config[cart]) sessionstore.Sessions[cart] {
		s, _ := sessionsIn(t, filepath.Join(t.TempDir(), "sessions.db"), cfg)
		return s
	})
}

// TestSessionsOutliveTheProcess: after a restart, valid sessions are valid and ended ones stay ended.
func TestSessionsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	file := filepath.Join(t.TempDir(), "sessions.db")
	cfg := &sessionstore.Config[cart]{Logger: quiet, Encrypt: true, TouchInterval: time.Hour, SweepInterval: -1}
	before, end := sessionsIn(t, file, cfg)
	tokens := map[string]string{}
	for _, user := range []string{"ann", "bob", "eve"} {
		login, err := before.BeginLogin(ctx, user)
		require.NoError(t, err)
		tokens[user], _, err = before.Create(ctx, login, cart{Items: map[string]int{user: 1}}, nil)
		require.NoError(t, err)
	}
	late, err := before.BeginLogin(ctx, "bob")
	require.NoError(t, err)
	_, err = before.RevokeUser(ctx, "bob")
	require.NoError(t, err)
	_, err = before.Revoke(ctx, tokens["eve"])
	require.NoError(t, err)
	rotated, _, err := before.Rotate(ctx, tokens["ann"], &sessionstore.RotateOptions{Grace: time.Hour})
	require.NoError(t, err)
	value, err := before.PutOneTime(ctx, "reset", []byte("once"), nil)
	require.NoError(t, err)
	used, err := before.Get(sessionstore.WithAddress(ctx, "192.0.2.7"), rotated)
	require.NoError(t, err)
	end()

	after, _ := sessionsIn(t, file, cfg)
	for _, token := range []string{tokens["ann"], rotated} {
		got, err := after.Look(ctx, token)
		require.NoError(t, err)
		require.Equal(t, 1, got.Data.Items["ann"])
		require.Equal(t, used.ID, got.ID)
		require.Equal(t, "192.0.2.7", got.LastAddress, "the last use was written at the end")
	}
	for _, user := range []string{"bob", "eve"} {
		_, err = after.Get(ctx, tokens[user])
		require.ErrorIs(t, err, sessionstore.ErrRevoked)
	}
	_, _, err = after.Create(ctx, late, cart{}, nil)
	require.ErrorIs(t, err, sessionstore.ErrLoginEnded, "a login from before the end of all of the user's sessions")
	data, err := after.TakeOneTime(ctx, "reset", value, "")
	require.NoError(t, err)
	require.Equal(t, "once", string(data))

	// Sessions that ended an hour ago are deleted.
	require.NoError(t, after.Sweep(ctx))
	list, err := after.List(ctx, "ann")
	require.NoError(t, err)
	require.Len(t, list, 1)
}
