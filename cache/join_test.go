package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// TestBypass_JoinsNoOldLoad: while the bus is not fresh, nothing tells of what has changed since a load has read.
func TestBypass_JoinsNoOldLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, rows := newFake(), newTable()
		rows.set("a", 1)
		c := open(t, b, rows, config())
		rows.hold()
		read := func() <-chan answer { return ask(func() (int, error) { return c.Get(context.Background(), "a") }) }

		trusted := read()
		receive(t, rows.began)
		stale(b, bus.DefaultStaleAfter)
		rows.set("a", 2)
		first := read() // the other may come from a standby
		receive(t, rows.began)
		time.Sleep(bus.DefaultStaleAfter - 1)
		young := read()
		synctest.Wait()
		require.EqualValues(t, 1, c.Stats().Joined)
		time.Sleep(time.Nanosecond)
		rows.set("a", 3)
		late := read() // two run already: its load begins when one of them has ended
		synctest.Wait()

		rows.release <- struct{}{}
		receive(t, rows.began)
		for range 2 {
			rows.release <- struct{}{}
		}
		require.Equal(t, answer{1, nil}, receive(t, trusted))
		require.Equal(t, answer{2, nil}, receive(t, first))
		require.Equal(t, answer{2, nil}, receive(t, young))
		require.Equal(t, answer{3, nil}, receive(t, late))
		rows.began = nil
		stale(b, 0)
		require.Equal(t, 3, get(t, c, "a"), "only the newest load is stored")
	})
}
