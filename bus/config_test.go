package bus_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	pool := lazyPool(t)
	for field, cfg := range map[string]*bus.Config{
		"Schema":           {Schema: `a"b`},
		"Name":             {Name: "a\x00b"},
		"Version":          {Version: strings.Repeat("v", 201)},
		"Mode":             {Mode: 7},
		"BeatInterval":     {BeatInterval: -1},
		"StaleAfter":       {StaleAfter: 2 * time.Second},
		"ProbeTimeout":     {ProbeTimeout: time.Microsecond},
		"SweepInterval":    {SweepInterval: -1},
		"PollInterval":     {PollInterval: -1},
		"AnnounceInterval": {AnnounceInterval: -1},
		"ConnectTimeout":   {ConnectTimeout: -1},
		"Retention":        {Retention: time.Second},
		"MaxKeys":          {MaxKeys: -1},
		"MaxCatchUp":       {MaxCatchUp: -1},
		"QueueSize":        {QueueSize: -1},
	} {
		_, err := bus.NewPostgres(pool, cfg)
		require.ErrorIs(t, err, bus.ErrConfig, field)
		require.ErrorContains(t, err, field+":")
	}

	for _, schema := range []string{"1a", "A", "a-b", "pg_x", strings.Repeat("a", 49), "a b", "ä"} {
		_, err := bus.NewPostgres(pool, &bus.Config{Schema: schema})
		require.ErrorIs(t, err, bus.ErrConfig, schema)
	}

	_, err := bus.NewPostgres(nil, nil)
	require.ErrorIs(t, err, bus.ErrConfig)
	b, err := bus.NewPostgres(pool, nil)
	require.NoError(t, err)
	require.Equal(t, bus.Starting, b.State())
	require.False(t, b.Fresh())
	require.Len(t, b.ID(), 36)
}

// A pod that would trust its cache for longer than the cluster's pod lease must not start.
func TestPodLease(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	_, err := pool.Exec(t.Context(), "UPDATE pgcoherence.setting SET pod_lease = '2 seconds'")
	require.NoError(t, err)
	p := prepare(t, pool, quick("a"))
	err = p.Run(t.Context())
	require.ErrorIs(t, err, bus.ErrConfig)
	require.ErrorContains(t, err, "StaleAfter")
}

func TestReceiptText(t *testing.T) {
	t.Parallel()
	var r bus.Receipt
	require.NoError(t, r.UnmarshalText(nil))
	require.True(t, r.IsZero())
	require.Empty(t, r.String())
	for _, bad := range []string{"x", ":", "a:b", ":-1", strings.Repeat("e", 65) + ":1"} {
		require.ErrorContains(t, r.UnmarshalText([]byte(bad)), "malformed receipt", bad)
	}
	require.NoError(t, r.UnmarshalText([]byte("0123:77")))
	require.Equal(t, "0123:77", r.String())
}

func TestStateString(t *testing.T) {
	t.Parallel()
	for state, want := range map[bus.State]string{
		bus.Starting: "starting", bus.CatchingUp: "catching-up", bus.Live: "live", bus.Polling: "polling",
		bus.Stale: "stale", bus.Closed: "closed", bus.State(99): "unknown",
	} {
		require.Equal(t, want, state.String())
		var back bus.State
		if state > bus.Closed {
			require.ErrorContains(t, back.UnmarshalText([]byte(want)), "unknown state")
			continue
		}

		require.NoError(t, back.UnmarshalText([]byte(want)))
		require.Equal(t, state, back)
	}
}
