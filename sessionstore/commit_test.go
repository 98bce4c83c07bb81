package sessionstore_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

func ownToken() string {
	a, b := uuid.New(), uuid.New()
	return sessionstore.FormatToken(append(a[:], b[:]...))
}

// What adapters of frameworks need: store under a token of their own, the last writer wins, what is over stays over.
func TestCommit(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for name, cfg := range map[string]*config{"plain": {}, "encrypted": {Encrypt: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, pods := setup(t, 2, cfg)
			a, b := pods[0], pods[1]
			token := ownToken()
			_, err := a.Adapter(hook.Token{}).Commit(ctx, token, cart{}, &commitOptions{MustExist: true})
			require.ErrorIs(t, err, sessionstore.ErrNotFound)
			made, err := a.Adapter(hook.Token{}).Commit(ctx, token, cart{Note: "1"}, &commitOptions{Remaining: time.Hour, Policy: sessionstore.Policy{Idle: sessionstore.NoIdle}})
			require.NoError(t, err)
			require.Empty(t, made.User)
			require.Equal(t, time.Hour, made.ExpiresAt.Sub(made.CreatedAt))
			got, err := b.Adapter(hook.Token{}).Commit(ctx, token, cart{Note: "1"}, nil)
			require.NoError(t, err)
			require.EqualValues(t, 1, got.Version, "the same data is a use")
			got, err = b.Adapter(hook.Token{}).Commit(ctx, token, cart{Note: "2"}, nil)
			require.NoError(t, err)
			require.EqualValues(t, 2, got.Version)
			got, err = a.Adapter(hook.Token{}).Commit(ctx, token, cart{Note: "3"}, nil)
			require.NoError(t, err, "a has the old version in memory, or has not")
			require.Equal(t, made.ID, got.ID)

			// It becomes a user's, and is then one of the user's sessions.
			l, err := a.BeginLogin(ctx, "ann")
			require.NoError(t, err)
			_, err = a.Adapter(hook.Token{}).Commit(ctx, token, cart{Note: "3"}, &commitOptions{Login: l, Remaining: 2 * time.Hour})
			require.NoError(t, err)
			got, err = a.Get(ctx, token)
			require.NoError(t, err)
			require.Equal(t, "ann", got.User)
			require.Greater(t, got.ExpiresAt.Sub(got.CreatedAt), 2*time.Hour-time.Second)
			_, err = b.RevokeUser(ctx, "ann")
			require.NoError(t, err)
			_, err = b.Adapter(hook.Token{}).Commit(ctx, token, cart{Note: "back"}, nil)
			require.ErrorIs(t, err, sessionstore.ErrRevoked)
			_, err = b.Adapter(hook.Token{}).Commit(ctx, ownToken(), cart{}, &commitOptions{Login: l})
			require.ErrorIs(t, err, sessionstore.ErrLoginEnded)
			_, err = b.Adapter(hook.Token{}).Commit(ctx, ownToken(), cart{}, &commitOptions{Remaining: -1})
			require.ErrorIs(t, err, sessionstore.ErrInvalid)
		})
	}
}

// A framework renews a session by deleting it and storing it under a new token: it keeps its id, unless somebody else than
// its holder has ended it.
func TestCommitRenews(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	l, err := a.BeginLogin(ctx, "ann")
	require.NoError(t, err)
	first, second, third := ownToken(), ownToken(), ownToken()
	made, err := a.Adapter(hook.Token{}).Commit(ctx, first, cart{}, &commitOptions{Login: l})
	require.NoError(t, err)
	_, err = a.Adapter(hook.Token{}).Commit(ctx, second, cart{}, &commitOptions{Login: l, ID: made.ID})
	require.ErrorIs(t, err, sessionstore.ErrInvalid, "it is not over")
	_, err = a.Revoke(ctx, first)
	require.NoError(t, err)
	renewed, err := a.Adapter(hook.Token{}).Commit(ctx, second, cart{}, &commitOptions{Login: l, ID: made.ID})
	require.NoError(t, err)
	require.Equal(t, made.ID, renewed.ID)
	_, err = a.Revoke(ctx, second)
	require.NoError(t, err)
	_, err = b.RevokeByID(ctx, "ann", made.ID)
	require.NoError(t, err)
	_, err = a.Adapter(hook.Token{}).Commit(ctx, third, cart{}, &commitOptions{Login: l, ID: made.ID})
	require.ErrorIs(t, err, sessionstore.ErrRevoked)
	_, err = a.Adapter(hook.Token{}).Commit(ctx, first, cart{}, nil)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)

	// Both at once: in the end there is none.
	for range 20 {
		token, next := ownToken(), ownToken()
		made, err := a.Adapter(hook.Token{}).Commit(ctx, token, cart{}, &commitOptions{Login: l})
		require.NoError(t, err)
		_, err = a.Revoke(ctx, token)
		require.NoError(t, err)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = a.Adapter(hook.Token{}).Commit(ctx, next, cart{}, &commitOptions{Login: l, ID: made.ID})
		})
		wg.Go(func() {
			if _, err := b.RevokeByID(ctx, "ann", made.ID); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		_, err = a.GetFresh(ctx, next)
		require.ErrorIs(t, err, sessionstore.ErrNoSession)
	}

	// Many at once under one new token: one makes it, the others write it.
	token := ownToken()
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			if _, err := pods[i%2].Adapter(hook.Token{}).Commit(ctx, token, cart{Items: map[string]int{"n": i}}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
