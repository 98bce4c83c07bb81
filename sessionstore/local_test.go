package sessionstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// TestSessionsContract is what every Sessions promises, run on each.
func TestSessionsContract(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]storetest.NewSessions{
		"postgres": func(t *testing.T, cfg *sessionstore.Config[storetest.Cart]) sessionstore.Sessions[storetest.Cart] {
			pool := pgtest.New(t, template).Pool(t)
			b := storetest.NewBus(t, pool, "contract")
			storetest.RunBus(t, b)
			s, err := sessionstore.New(b, pool, cfg)
			require.NoError(t, err)
			return runSessions(t, s)
		},
		"local": func(t *testing.T, cfg *sessionstore.Config[storetest.Cart]) sessionstore.Sessions[storetest.Cart] {
			s, err := sessionstore.NewLocal(bus.NewLocal(), cfg)
			require.NoError(t, err)
			return runSessions(t, s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.SessionsContract(t, make)
		})
	}
}

func runSessions(t *testing.T, s sessionstore.Sessions[storetest.Cart]) sessionstore.Sessions[storetest.Cart] {
	t.Helper()
	storetest.Background(t, s.Run)
	<-s.Ready()
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// TestNewLocalRefuses: what cannot work is named.
func TestNewLocalRefuses(t *testing.T) {
	t.Parallel()
	_, err := sessionstore.NewLocal[cart](nil, nil)
	require.ErrorIs(t, err, sessionstore.ErrConfig)
	_, err = sessionstore.NewLocal(bus.NewLocal(), &config{MaxData: -1})
	require.ErrorIs(t, err, sessionstore.ErrConfig)
	_, err = sessionstore.OpenLocal[cart](t.Context(), bus.NewLocal(), nil, nil)
	require.ErrorIs(t, err, sessionstore.ErrConfig)
}
