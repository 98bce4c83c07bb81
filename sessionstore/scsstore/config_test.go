package scsstore_test

import (
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
	"github.com/pgcoherence/pgcoherence/sessionstore/scsstore"
)

func TestConfigErrorsNameTheField(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{})
	pool, b := pods[0].pool, bus.NewLocal()
	for field, change := range map[string]func(*scs.SessionManager, *scsstore.Config){
		"Lifetime":           func(m *scs.SessionManager, _ *scsstore.Config) { m.Lifetime = 0 },
		"IdleTimeout":        func(m *scs.SessionManager, _ *scsstore.Config) { m.IdleTimeout = -1 },
		"Sessions.Codec":     func(_ *scs.SessionManager, c *scsstore.Config) { c.Sessions.Codec = sessionstore.JSON[scsstore.Data]() },
		"Sessions.ShareData": func(_ *scs.SessionManager, c *scsstore.Config) { c.Sessions.ShareData = true },
		"Sessions.SealKeys":  func(_ *scs.SessionManager, c *scsstore.Config) { c.Sessions.SealKeys = [][]byte{make([]byte, 32)} },
		"Sessions.Policy":    func(_ *scs.SessionManager, c *scsstore.Config) { c.Sessions.Policy.Idle = time.Hour },
		"CommitTimeout":      func(_ *scs.SessionManager, c *scsstore.Config) { c.CommitTimeout = -1 },
	} {
		m, c := scs.New(), scsstore.Config{}
		change(m, &c)
		before := m.Store
		_, err := scsstore.New(b, pool, m, &c)
		require.ErrorIs(t, err, scsstore.ErrConfig, field)
		require.ErrorContains(t, err, field)
		require.Same(t, before, m.Store, "the manager is as it was")
	}

	_, err := scsstore.New(b, pool, nil, nil)
	require.ErrorIs(t, err, scsstore.ErrConfig)
	_, err = scsstore.New(nil, pool, scs.New(), nil)
	require.ErrorIs(t, err, sessionstore.ErrConfig)
	_, err = scsstore.New(b, pool, pods[0].SessionManager, nil)
	require.ErrorIs(t, err, scsstore.ErrConfig, "a manager has one store")
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{})
	b := &storetest.Browser{T: t}
	b.Fine(pods[0], "put:user=ann")
	problems, err := testutil.CollectAndLint(pods[0].store)
	require.NoError(t, err)
	require.Empty(t, problems)
	require.Equal(t, scsstore.Stats{Committed: 1}, pods[0].store.Stats())
}

// One process needs no bus of Postgres.
func TestWithALocalBus(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, options{})
	m := scs.New()
	s, err := scsstore.New(bus.NewLocal(), pods[0].pool, m, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	ctx, err := m.Load(t.Context(), "")
	require.NoError(t, err)
	m.Put(ctx, "note", "hello")
	require.NoError(t, m.RenewToken(ctx))
	token, _, err := m.Commit(ctx)
	require.NoError(t, err)
	ctx, err = m.Load(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, "hello", m.GetString(ctx, "note"))
	require.NoError(t, m.Destroy(ctx))
	ctx, err = m.Load(t.Context(), token)
	require.NoError(t, err)
	require.Empty(t, m.GetString(ctx, "note"))
}
