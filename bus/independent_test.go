package bus_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// TestIndependent: one blocked subscriber takes a pod's freshness, and does not if it is Independent. Its own queue is
// bounded and becomes a Reset either way.
func TestIndependent(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(bus.Subscriber) bus.Subscriber{
		"usual":             func(s bus.Subscriber) bus.Subscriber { return s },
		"independent":       bus.Independent,
		"independent twice": func(s bus.Subscriber) bus.Subscriber { return bus.Independent(bus.Independent(s)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, pool := setup(t)
			cfg := quick("slow")
			cfg.QueueSize = 5
			p, other := start(t, pool, cfg), start(t, pool, quick("other"))
			release, entered := make(chan struct{}), make(chan struct{}, 1)
			var got recorder
			t.Cleanup(p.Subscribe("slow", wrap(bus.SubscriberFuncs{
				OnInvalidate: func(d bus.Delivery) {
					select {
					case entered <- struct{}{}:
					default:
					}
					<-release
					got.Invalidate(d)
				},
				OnReset: got.Reset,
			})))

			// While it blocks, events arrive, its own and others, and its queue overflows.
			_, err := other.Publish(t.Context(), bus.Event{Topic: "slow", Keys: []string{"first"}})
			require.NoError(t, err)
			<-entered
			blocked := time.Now()
			for range 10 { // its own, which are not folded
				_, err := p.Publish(t.Context(), bus.Event{Topic: "slow", Keys: []string{"more"}})
				require.NoError(t, err)
			}
			publish(t, other, "1")
			eventually(t, func() bool { return p.has("1") }, "the others go on")

			if name == "usual" {
				eventually(t, func() bool { return p.State() == bus.Stale }, "freshness waits for it")
				require.False(t, p.Internal(hook.Token{}).ProvenSince(blocked))
			} else {
				eventually(t, func() bool { return p.Internal(hook.Token{}).ProvenSince(blocked) }, "freshness does not wait for it")
				require.True(t, p.Fresh())
			}

			close(release)
			eventually(t, func() bool { return p.Internal(hook.Token{}).ProvenSince(blocked) && got.has("first") }, "proven in the end")
			eventually(t, func() bool { return len(got.reasons()) > 0 && got.reasons()[0] == bus.ReasonOverflow }, "its queue was full")
		})
	}
}
