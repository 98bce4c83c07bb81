package cachetest_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache/cachetest"
	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// heard is a subscriber, called on the spot, that remembers.
type heard struct {
	mu   sync.Mutex
	told []string
}

func (*heard) Synchronous(hook.Token) {}

func (h *heard) Invalidate(d bus.Delivery) {
	text := strings.Join(d.Keys, ",")
	if d.All {
		text = "*"
	}
	if d.Local {
		text += " local"
	}
	if d.Uncertain {
		text += " uncertain"
	}
	h.note(text)
}
func (h *heard) Reset(r bus.Reason) { h.note("reset " + string(r)) }

func (h *heard) note(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, text)
}

// take is what was told since the last take.
func (h *heard) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	told := h.told
	h.told = nil
	return told
}

func keys(k ...string) bus.Event { return bus.Event{Topic: "t", Keys: k} }

func setup(t *testing.T) (c *cachetest.Cluster, a, b *cachetest.Bus, heardA, heardB *heard) {
	t.Helper()
	c = cachetest.NewCluster(2)
	a, b, heardA, heardB = c.Bus(0), c.Bus(1), &heard{}, &heard{}
	t.Cleanup(a.Subscribe("t", heardA))
	t.Cleanup(b.Subscribe("t", heardB))
	return c, a, b, heardA, heardB
}

func TestPodsHearEachOther(t *testing.T) {
	t.Parallel()
	c, a, b, heardA, heardB := setup(t)
	receipt, err := a.Publish(t.Context(), keys("1", "1", "2"), bus.Event{Topic: "other", All: true})
	require.NoError(t, err)
	require.Equal(t, []string{"1,2 local"}, heardA.take())
	require.Equal(t, []string{"1,2"}, heardB.take())
	require.True(t, a.Applied(receipt))
	require.True(t, b.Applied(receipt))
	require.NoError(t, a.Confirm(t.Context(), receipt))

	require.NoError(t, c.Deliver(bus.Event{Topic: "t", All: true}))
	require.Equal(t, []string{"*"}, heardA.take())
	require.Equal(t, []string{"*"}, heardB.take())
	_, err = a.Publish(t.Context(), bus.Event{All: true})
	require.ErrorIs(t, err, bus.ErrInvalidEvent)
	require.Len(t, c.Buses(), 2)
}

func TestLaggingPod(t *testing.T) {
	t.Parallel()
	_, a, b, heardA, heardB := setup(t)
	b.Pause()
	first, err := a.Publish(t.Context(), keys("1"))
	require.NoError(t, err)
	second, err := b.Publish(t.Context(), keys("2"))
	require.NoError(t, err)
	third, err := a.Publish(t.Context(), keys("3"))
	require.NoError(t, err)
	require.Equal(t, []string{"1 local", "2", "3 local"}, heardA.take())
	require.Equal(t, []string{"2 local"}, heardB.take(), "its own at once")
	require.False(t, b.Applied(first))
	require.True(t, b.Applied(second))
	require.False(t, b.Applied(third))
	require.Equal(t, 2, b.Waiting())
	_, at, ok := b.Internal(hook.Token{}).Position()
	require.True(t, ok)
	require.Equal(t, "1:4:1,3", at.String())
	require.False(t, b.Internal(hook.Token{}).ProvenSince(time.Now()))

	confirmed := make(chan error, 1)
	go func() { confirmed <- a.Confirm(t.Context(), first) }()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, a.Confirm(ended, first), context.Canceled)
	require.True(t, b.Step())
	require.NoError(t, <-confirmed)
	require.Equal(t, []string{"1"}, heardB.take())
	b.Resume()
	require.Equal(t, []string{"3"}, heardB.take())
	require.False(t, b.Step())
	require.True(t, b.Internal(hook.Token{}).ProvenSince(time.Now()))

	b.Pause()
	last, err := a.Publish(t.Context(), keys("4"))
	require.NoError(t, err)
	b.SetFresh(false) // nobody is served anything old by it
	require.NoError(t, a.Confirm(t.Context(), last))
}

func TestLag(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _, heardB := setup(t)
		b.SetLag(time.Second)
		_, err := a.Publish(t.Context(), keys("1"))
		require.NoError(t, err)
		b.SetLag(0)
		_, err = a.Publish(t.Context(), keys("2"))
		require.NoError(t, err)
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		require.Empty(t, heardB.take())
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.Equal(t, []string{"1", "2"}, heardB.take(), "in their order")
	})
}

func TestFreshness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := cachetest.NewBus()
		require.True(t, b.Fresh())
		require.Equal(t, bus.Live, b.State())
		before := time.Now()
		time.Sleep(time.Second)
		require.Zero(t, b.Internal(hook.Token{}).FreshAge(elapsed.Now()))
		b.SetFresh(false)
		time.Sleep(time.Second)
		b.SetFresh(false)
		require.False(t, b.Fresh())
		require.Equal(t, bus.Stale, b.State())
		require.Equal(t, bus.DefaultStaleAfter+time.Second, b.Internal(hook.Token{}).FreshAge(elapsed.Now()))
		require.True(t, b.Internal(hook.Token{}).ProvenSince(before))
		require.False(t, b.Internal(hook.Token{}).ProvenSince(time.Now()))
		b.SetFresh(true)
		require.True(t, b.Internal(hook.Token{}).ProvenSince(time.Now()))
	})
}

func TestUncertain(t *testing.T) {
	t.Parallel()
	_, a, _, heardA, heardB := setup(t)
	before := time.Now().Add(-time.Minute)
	a.Uncertain(keys("1"))
	require.Equal(t, []string{"1 local uncertain"}, heardA.take())
	require.Empty(t, heardB.take())
	require.True(t, a.Internal(hook.Token{}).ProvenSince(before))
	require.False(t, a.Internal(hook.Token{}).ProvenSince(time.Now()))
	a.Beat()
	require.True(t, a.Internal(hook.Token{}).ProvenSince(time.Now()))
}

func TestReset(t *testing.T) {
	t.Parallel()
	c, a, b, heardA, heardB := setup(t)
	b.Pause()
	old, err := a.Publish(t.Context(), keys("1"))
	require.NoError(t, err)
	heardA.take()
	b.Reset(bus.ReasonPruned)
	require.Empty(t, heardA.take())
	require.Equal(t, []string{"reset pruned"}, heardB.take())
	require.True(t, b.Applied(old), "a reset covers it")

	epoch, _, _ := a.Internal(hook.Token{}).Position()
	c.NewEpoch()
	require.Equal(t, []string{"reset epoch"}, heardA.take())
	require.Equal(t, []string{"reset epoch"}, heardB.take())
	after, _, _ := a.Internal(hook.Token{}).Position()
	require.NotEqual(t, epoch, after)
	require.False(t, a.Applied(old))
	require.ErrorIs(t, a.Confirm(t.Context(), old), bus.ErrUnconfirmed)
	_, err = a.Publish(t.Context(), keys("2"))
	require.NoError(t, err)
	require.Equal(t, []string{"2 local"}, heardA.take(), "subscriptions live on")
}

// Foreign subscribers may block, panic and call the bus.
func TestForeignSubscribers(t *testing.T) {
	t.Parallel()
	b := cachetest.NewBus()
	told := make(chan string, 10)
	unsubscribe := b.Subscribe("t", bus.SubscriberFuncs{
		OnInvalidate: func(d bus.Delivery) {
			if d.Keys[0] == "panic" {
				panic("on purpose")
			}
			if d.Keys[0] == "1" {
				_, _ = b.Publish(context.Background(), keys("from within"))
			}
			told <- d.Keys[0]
		},
		OnReset: func(r bus.Reason) { told <- string(r) },
	})

	for _, key := range []string{"1", "panic"} {
		_, err := b.Publish(t.Context(), keys(key))
		require.NoError(t, err)
	}

	got := map[string]bool{<-told: true, <-told: true, <-told: true}
	require.Equal(t, map[string]bool{"1": true, "panic": true, "from within": true}, got)
	unsubscribe()
	unsubscribe()
	_, err := b.Publish(t.Context(), keys("2"))
	require.NoError(t, err)
	require.Empty(t, told)
}
