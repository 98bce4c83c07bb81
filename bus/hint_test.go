package bus_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// hints collects hints.
type hints struct {
	mu   sync.Mutex
	keys []string
}

var _ hook.Hinted = (*hints)(nil)

func (*hints) Synchronous(hook.Token)  {}
func (*hints) Invalidate(bus.Delivery) {}
func (*hints) Reset(bus.Reason)        {}

func (h *hints) Hint(_ hook.Token, key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys = append(h.keys, key)
}

func (h *hints) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.keys...)
}

// A hint reaches those of the topic in other pods that want hints, without a row in the log and without waiting for
// announcements, and nobody else; a bus that is not live gives no way for one.
func TestHint(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, template).Pool(t)
	slow := quick("slow")
	slow.AnnounceInterval = time.Second
	sender := prepare(t, pool, slow)
	_, _, ok := hinter(t, sender).HintTo("item")
	require.False(t, ok, "not before it is live")
	sender.run(t)
	sender.waitReady(t)
	other := start(t, pool, quick("other"))
	var heard, elsewhere hints
	t.Cleanup(other.Subscribe("item", &heard))
	t.Cleanup(other.Subscribe("other", &elsewhere))
	eventually(t, func() bool { return sender.State() == bus.Live && other.State() == bus.Live }, "live")

	channel, prefix, ok := hinter(t, sender).HintTo("item")
	require.True(t, ok)
	before := other.Stats()
	for _, payload := range []string{"0 hint", "0 hint ", "0 hint item", "0 hint nobody a", prefix + "a", prefix + "b c"} {
		_, err := pool.Exec(t.Context(), "SELECT pg_notify($1, $2)", channel, payload)
		require.NoError(t, err)
	}
	eventually(t, func() bool { return len(heard.all()) == 2 }, "heard")
	require.Equal(t, []string{"a", "b c"}, heard.all())
	require.Empty(t, elsewhere.all())
	require.Zero(t, other.count("a"), "a hint is no event")
	var rows int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM pgcoherence.event").Scan(&rows))
	require.Zero(t, rows)
	require.Equal(t, before.Forged, other.Stats().Forged)
	_, _, ok = hinter(t, sender).HintTo("two words")
	require.False(t, ok, "the topic ends at a space")
}

func hinter(t *testing.T, p *pod) hook.Hinter {
	t.Helper()
	h, ok := p.Internal(hook.Token{}).(hook.Hinter)
	require.True(t, ok)
	return h
}
