package sessionstore_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// memory is a tier that all pods share.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	hits   int
}

func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[key]
	if !ok {
		return nil, cache.ErrTierMiss
	}
	m.hits++
	return v, nil
}

func (m *memory) Set(_ context.Context, key string, value []byte, _ time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[key] = append([]byte(nil), value...)
	return nil
}

func (m *memory) Delete(context.Context, ...string) error { return nil } // nothing may depend on it

func (m *memory) text() (all string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, v := range m.values {
		all += k + string(v)
	}
	return all
}

func (m *memory) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.values)
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hits
}

// poll waits for a moment.
func poll(f func() bool) bool {
	for range 200 {
		if f() {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

// A session goes through a tier with all that makes it valid, and comes out neither after it was ended nor, with
// encryption, readable.
func TestTier(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	tier := &memory{values: map[string][]byte{}}
	db := pgtest.New(t, template)
	cfg := &config{Tier: tier, Encrypt: true}
	a, b := newPod(t, db, "a", cfg), newPod(t, db, "b", cfg)
	warm, _ := login(t, b, "bob", nil)
	_, err := b.Get(ctx, warm) // b has read something, so it knows what the database's clock says
	require.NoError(t, err)
	var token string
	var made, first, got *session
	// A pod that is slow may not be fresh for a moment, and then it goes past its memory and the tier. Once b holds the
	// session from the database it does not ask the tier for it any more, so each try has one of its own.
	fromTier := func() bool {
		token, made = login(t, a, "ann", &sessionstore.CreateOptions{Issuer: "idp", SID: "1", Device: &sessionstore.Device{IP: "192.0.2.1"}})
		before := tier.size()
		first, err = a.Get(ctx, token)
		require.NoError(t, err)
		if !poll(func() bool { return tier.size() > before }) {
			return false // a had no use for the tier
		}
		hits, lookups := tier.count(), b.Stats().Lookups
		got, err = b.Get(ctx, token)
		require.NoError(t, err)
		return tier.count() > hits && b.Stats().Lookups == lookups
	}
	for end := time.Now().Add(30 * time.Second); !fromTier(); {
		require.True(t, time.Now().Before(end), "b has it from where a has put it")
	}
	require.Equal(t, first.Info, got.Info)
	require.Equal(t, made.ExpiresAt, got.ExpiresAt)
	require.Equal(t, first.Data, got.Data)
	require.LessOrEqual(t, got.Remaining, sessionstore.DefaultIdle)
	require.NotContains(t, tier.text(), "tea")
	require.NotContains(t, tier.text(), token)

	_, err = a.RevokeUser(ctx, "ann")
	require.NoError(t, err)
	c := newPod(t, db, "c", cfg)
	for _, p := range []*pod{a, b, c} {
		storetest.Eventually(t, func() bool {
			_, err := p.Get(ctx, token)
			return err != nil
		}, "over")
		_, err = p.Get(ctx, token)
		require.ErrorIs(t, err, sessionstore.ErrRevoked)
	}
}

// Deadlines come out of a tier no later than they went in, whatever the pods' clocks say.
func TestTierDeadlines(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, template)
	a := newPod(t, db, "a", nil)
	ahead := newPod(t, db, "ahead", sessionstore.WithClock(&config{}, func() time.Time { return time.Now().Round(0).Add(100 * time.Hour) }))
	token, _ := login(t, a, "ann", nil)
	_, err := sessionstore.TierRoundTrip(ctx, a.store, ahead.store, token)
	require.Error(t, err, "nothing was read from the database yet")
	other, _ := login(t, ahead, "bob", nil)
	_, err = ahead.Get(ctx, other)
	require.NoError(t, err)
	left, err := sessionstore.TierRoundTrip(ctx, a.store, ahead.store, token)
	require.NoError(t, err)
	require.LessOrEqual(t, left, sessionstore.DefaultIdle)
	require.Greater(t, left, sessionstore.DefaultIdle-time.Minute)
}
