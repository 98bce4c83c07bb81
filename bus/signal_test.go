package bus_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/pgtest"
)

// A signal reaches the other pods without a row in the log and without waiting for announcements; a bus that is not live
// sends none.
func TestSignal(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	slow := quick("slow")
	slow.AnnounceInterval = time.Second
	sender := prepare(t, pool, slow)
	sent, err := sender.Signal(t.Context(), hook.Token{}, pool, "item", "early")
	require.NoError(t, err)
	require.False(t, sent, "not before it is live")
	sender.run(t)
	sender.waitReady(t)
	other := start(t, pool, quick("other"))
	eventually(t, func() bool { return sender.State() == bus.Live && other.State() == bus.Live }, "live")

	sent, err = sender.Signal(t.Context(), hook.Token{}, pool, "item", "a", "b")
	require.NoError(t, err)
	require.True(t, sent)
	eventually(t, func() bool { return other.count("a") == 1 && other.count("b") == 1 }, "heard")
	require.Zero(t, other.count("early"))
	var rows int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM pgcoherence.event").Scan(&rows))
	require.Zero(t, rows)
	require.Zero(t, other.Stats().Forged)
}
