package sessionstore_test

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// copy is what the tier holds now.
func (m *memory) copy() map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.values)
}

// Whoever can write the tier gets nothing in: no entry of another database or key, none that was cut or changed, and no
// old one of a session that was ended. Whoever can read it learns nothing, encrypted data or not.
func TestTierIsSealed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	tier, foreign := &memory{values: map[string][]byte{}}, &memory{values: map[string][]byte{}}
	db := pgtest.New(t, template)
	a := newPod(t, db, "a", &config{Tier: tier})
	stranger := newPod(t, pgtest.New(t, template), "stranger", &config{Tier: foreign})

	fill := func(p *pod, m *memory, user string) (token string) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; {
			before := m.size()
			token, _ = login(t, p, user, &sessionstore.CreateOptions{Device: &sessionstore.Device{IP: "192.0.2.1", UserAgent: "Browser"}})
			_, err := p.Get(ctx, token)
			require.NoError(t, err)
			if poll(func() bool { return m.size() > before }) {
				return token
			}
			require.True(t, time.Now().Before(end), "the tier is used")
		}
	}
	ann := fill(a, tier, "ann")
	annOnly := tier.copy()
	bob := fill(a, tier, "bob")
	fill(stranger, foreign, "mallory")
	for _, text := range []string{"ann", "bob", "192.0.2.1", "Browser", "tea"} {
		require.NotContains(t, tier.text(), text)
	}

	entries := tier.copy()
	var annKey, bobKey string
	for k := range entries {
		if _, ok := annOnly[k]; ok {
			annKey = k
		} else {
			bobKey = k
		}
	}
	var theirs []byte
	for _, v := range foreign.copy() {
		theirs = v
	}
	flipped := append([]byte(nil), entries[annKey]...)
	flipped[len(flipped)/2] ^= 1
	for name, forged := range map[string][]byte{
		"another session's": entries[bobKey], "another database's": theirs, "changed": flipped, "cut": entries[annKey][:20], "empty": {},
		"plain": []byte(`{"i":{"user":"admin"}}`),
	} {
		reader := newPod(t, db, "r", &config{Tier: &memory{values: map[string][]byte{annKey: forged}}})
		_, err := reader.Get(ctx, bob) // it knows the database's clock from here on
		require.NoError(t, err, name)
		before := reader.Stats().Lookups
		got, err := reader.Get(ctx, ann)
		require.NoError(t, err, name)
		require.Equal(t, "ann", got.User, name)
		require.Greater(t, reader.Stats().Lookups, before, "%s: the database was asked", name)
	}

	// What was right once is no way back.
	r, err := a.RevokeUser(ctx, "ann")
	confirmed(t, a, r, err)
	tier.mu.Lock()
	maps.Copy(tier.values, entries)
	tier.mu.Unlock()
	for _, p := range []*pod{a, newPod(t, db, "late", &config{Tier: tier})} {
		_, err = p.Get(ctx, ann)
		require.ErrorIs(t, err, sessionstore.ErrRevoked)
	}
}

// A seal is introduced, and its key replaced, without a pod that refuses what another has signed.
func TestKeysAreAcceptedBeforeTheySign(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, template)
	first, second := [][]byte{[]byte("the first key of all")}, [][]byte{[]byte("the second key of all")}
	steps := []*config{
		{},
		{SealKeys: first, AcceptUnsealed: true},
		{SealKeys: first, AcceptKeys: second, AcceptUnsealed: true},
		{SealKeys: second, AcceptKeys: first, AcceptUnsealed: true},
		{SealKeys: second, AcceptUnsealed: true},
	}

	var pods []*pod
	for i, cfg := range steps {
		pods = append(pods, newPod(t, db, fmt.Sprint(i), cfg))
	}

	for i := range len(pods) - 1 {
		for _, way := range [][2]*pod{{pods[i], pods[i+1]}, {pods[i+1], pods[i]}} {
			token, _ := login(t, way[0], "ann", nil)
			_, err := way[1].Get(ctx, token)
			require.NoError(t, err, "step %d", i)
		}
	}

	// A pod that has only been given the key to accept does not sign with it, and refuses what nobody has signed.
	accepting := newPod(t, db, "accepting", &config{AcceptKeys: first})
	token, _ := login(t, accepting, "ann", nil)
	require.Len(t, token, 43)
	_, err := accepting.Get(ctx, sessionstore.FormatToken(make([]byte, 32), second[0]))
	require.ErrorIs(t, err, sessionstore.ErrMalformed)
	require.NotErrorIs(t, sessionstore.ErrUnreadable, sessionstore.ErrNoSession)
}

// However many streams there are, none outlives its grace when neither bus nor database can be asked.
func TestBindGraceOfMany(t *testing.T) {
	t.Parallel()
	const streams = 6000
	_, p := one(t, &config{BindGrace: 500 * time.Millisecond, LookupTimeout: 5 * time.Second})
	_, got := login(t, p, "ann", nil)
	all := make([]context.Context, streams)
	for i := range all {
		one := *got
		one.ID[15], one.ID[14] = byte(i), byte(i>>8) // streams of sessions of their own, as far as they can tell
		if i == 0 {
			one = *got
		}

		ctx, cancel := p.Bind(t.Context(), &one)
		t.Cleanup(cancel)
		all[i] = ctx
	}

	// All connections are taken: every question to the database waits for its time-out.
	for range p.pool.Config().MaxConns {
		conn, err := p.pool.Acquire(t.Context())
		require.NoError(t, err)
		t.Cleanup(conn.Release)
	}

	p.halt()
	storetest.Eventually(t, func() bool { return all[0].Err() != nil }, "the one that is valid ends")
	require.ErrorIs(t, context.Cause(all[0]), sessionstore.ErrUnavailable)
	storetest.Eventually(t, func() bool { return p.Stats().Streams == 0 }, "and so do all")
}

var _ cache.Tier = (*memory)(nil)
