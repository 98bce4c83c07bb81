package bus_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// TestConfigFromEnv reads everything, and nothing.
func TestConfigFromEnv(t *testing.T) {
	e, err := bus.ConfigFromEnv("NOBODY_SETS_THIS_")
	require.NoError(t, err)
	require.Equal(t, bus.Env{}, *e)

	for name, value := range map[string]string{
		"DATABASE_URL": " postgres://app:secret@db/app\n", "LISTEN_URL": "postgres://direct/app", "POOL_SIZE": "7", "SCHEMA": "notes",
		"POD_NAME": "web-1", "VERSION": "v2", "MODE": "Poll", "STALE_AFTER": "6s", "BEAT_INTERVAL": "2s", "PROBE_TIMEOUT": "1500ms",
		"SWEEP_INTERVAL": "200ms", "RETENTION": "1h", "CONNECT_TIMEOUT": "2s",
	} {
		t.Setenv("TEST_"+name, value)
	}
	e, err = bus.ConfigFromEnv("TEST_")
	require.NoError(t, err)
	require.Equal(t, bus.Env{
		DSN: "postgres://app:secret@db/app",
		Config: bus.Config{
			Schema: "notes", Name: "web-1", Version: "v2", Mode: bus.Poll, StaleAfter: 6 * time.Second, BeatInterval: 2 * time.Second,
			ProbeTimeout: 1500 * time.Millisecond, SweepInterval: 200 * time.Millisecond, Retention: time.Hour, ConnectTimeout: 2 * time.Second,
		},
		Open: bus.OpenConfig{ListenDSN: "postgres://direct/app", MaxConns: 7},
	}, *e)

	for name, bad := range map[string]string{
		"POOL_SIZE": "0", "MODE": "push", "STALE_AFTER": "soon", "RETENTION": "5", "SCHEMA": "No", "BEAT_INTERVAL": "1h",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TEST_"+name, bad)
			_, err := bus.ConfigFromEnv("TEST_")
			require.ErrorIs(t, err, bus.ErrConfig)
			require.ErrorContains(t, err, "TEST_")
			require.NotContains(t, err.Error(), "secret")
		})
	}
}
