package bus_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// A pod that does not sweep does so once when it is asked to, such as after a commit whose trigger has announced nothing.
func TestSweep_OnRequest(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	cfg := func(name string) *bus.Config {
		return &bus.Config{Logger: quiet, Name: name, SweepInterval: time.Second, BeatInterval: time.Second}
	}
	a := start(t, pool, cfg("a"))
	eventually(t, func() bool { return a.Stats().Sweeps > 1 }, "a sweeps")
	b := start(t, pool, cfg("b"))
	eventually(t, b.Fresh, "b is in sync")

	_, err := pool.Exec(t.Context(), "SELECT pgcoherence.invalidate('item', 'of a trigger')")
	require.NoError(t, err)
	before := b.Stats().Sweeps
	b.Internal(hook.Token{}).(hook.Sweeper).Sweep() //nolint:errcheck // every bus is one
	eventually(t, func() bool { return b.Stats().Sweeps > before }, "b sweeps")
	eventually(t, func() bool { return a.total() > 0 && b.total() > 0 }, "both have the event")

	// A request before the bus runs, and after its end, harms nobody.
	late := prepare(t, pool, cfg("late"))
	late.Internal(hook.Token{}).(hook.Sweeper).Sweep() //nolint:errcheck // as above
	late.run(t)
	late.waitReady(t)
	late.stop()
	late.Internal(hook.Token{}).(hook.Sweeper).Sweep() //nolint:errcheck // as above
}
