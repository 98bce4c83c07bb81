package sessionstore_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// A login that checked the old password and lands after all sessions were ended gets nothing, whether or not the user
// ever had a session before.
func TestLoginAfterRevokeUser(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	for _, user := range []string{"new", "known"} {
		if user == "known" {
			login(t, a, user, nil)
		}
		l, err := a.BeginLogin(ctx, user)
		require.NoError(t, err)
		_, err = b.RevokeUser(ctx, user)
		require.NoError(t, err)
		_, _, err = a.Create(ctx, l, cart{}, nil)
		require.ErrorIs(t, err, sessionstore.ErrLoginEnded)

		anonymous, _, err := a.CreateAnonymous(ctx, cart{}, nil)
		require.NoError(t, err)
		_, _, err = a.Rotate(ctx, anonymous, &sessionstore.RotateOptions{Login: l})
		require.ErrorIs(t, err, sessionstore.ErrLoginEnded)
		_, err = a.Get(ctx, anonymous)
		require.NoError(t, err, "the anonymous one is as it was")
		token, _ := login(t, a, user, nil)
		_, err = b.Get(ctx, token)
		require.NoError(t, err, "a login that begins afterwards is well")
	}
}

// Whichever way the two transactions overlap, and at whichever isolation, the session is not valid in the end.
func TestRevokeUserOverlapsCreate(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
		for _, first := range []string{"create", "revoke"} {
			user := fmt.Sprint(first, level)
			login(t, a, user, nil)
			create, err := a.bus.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
			require.NoError(t, err)
			revoke, err := b.bus.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
			require.NoError(t, err)

			for _, tx := range []pgx.Tx{create, revoke} { // both have their snapshots
				_, err = tx.Exec(ctx, "SELECT count(*) FROM pgcoherence.session")
				require.NoError(t, err)
			}

			l, err := a.BeginLogin(ctx, user)
			require.NoError(t, err)
			token, _, err := a.CreateTx(ctx, create, l, cart{}, nil)
			require.NoError(t, err)
			require.NoError(t, b.RevokeUserTx(ctx, revoke, user))

			order := []interface{ commit() error }{committer{t, create}, committer{t, revoke}}
			if first == "revoke" {
				order[0], order[1] = order[1], order[0]
			}

			require.NoError(t, order[0].commit())

			if err = order[1].commit(); err != nil { // Serializable may refuse the second
				require.Equal(t, pgx.Serializable, level, err)
				_, err = b.RevokeUser(ctx, user)
				require.NoError(t, err)
			}

			for _, p := range pods {
				_, err = p.GetFresh(ctx, token)
				require.ErrorIs(t, err, sessionstore.ErrNoSession, "%s first, %s", first, level)
			}
		}
	}
}

type committer struct {
	t  *testing.T
	tx pgx.Tx
}

func (c committer) commit() error { return c.tx.Commit(c.t.Context()) }

// A token that an attacker has planted in the victim's browser is worth nothing after the login.
func TestFixation(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	planted, before, err := a.CreateAnonymous(ctx, cart{Note: "basket"}, nil)
	require.NoError(t, err)

	for _, p := range pods {
		_, err = p.Get(ctx, planted) // both have it cached
		require.NoError(t, err)
	}

	l, err := b.BeginLogin(ctx, "victim")
	require.NoError(t, err)
	token, after, err := b.Rotate(ctx, planted, &sessionstore.RotateOptions{Login: l, Policy: sessionstore.Policy{Absolute: time.Hour}})
	require.NoError(t, err)
	require.NotEqual(t, planted, token)
	require.Equal(t, before.ID, after.ID)
	require.Equal(t, "victim", after.User)
	require.Equal(t, "basket", after.Data.Note)
	require.False(t, after.AuthenticatedAt.IsZero())
	require.Equal(t, time.Hour, after.ExpiresAt.Sub(after.AuthenticatedAt).Round(time.Second))
	require.True(t, after.AuthenticatedWithin(time.Minute))
	require.False(t, before.AuthenticatedWithin(time.Minute))
	_, err = b.Get(ctx, planted)
	require.ErrorIs(t, err, sessionstore.ErrNotFound, "on the pod of the login at once")
	storetest.Eventually(t, func() bool {
		_, err := a.Get(ctx, planted)
		return errors.Is(err, sessionstore.ErrNotFound)
	}, "and on the other")
	_, err = a.Get(ctx, token)
	require.NoError(t, err)

	// The session is one of the user's from now on.
	_, err = a.RevokeUser(ctx, "victim")
	require.NoError(t, err)
	_, err = a.Get(ctx, token)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)
}

func TestConcurrentSaves(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	token, _ := login(t, a, "ann", nil)
	one, err := a.Get(ctx, token)
	require.NoError(t, err)
	two, err := b.Get(ctx, token)
	require.NoError(t, err)
	one.Data.Note, two.Data.Note = "one", "two"
	errs := make([]error, 2)
	var wg sync.WaitGroup
	wg.Go(func() { errs[0] = a.Save(ctx, token, one) })
	wg.Go(func() { errs[1] = b.Save(ctx, token, two) })
	wg.Wait()
	won, lost := errs[0], errs[1]
	note := "one"
	if won != nil {
		won, lost, note = lost, won, "two"
	}
	require.NoError(t, won)
	require.ErrorIs(t, lost, sessionstore.ErrConflict)
	got, err := a.GetFresh(ctx, token)
	require.NoError(t, err)
	require.Equal(t, note, got.Data.Note)
	require.EqualValues(t, 1, a.Stats().Conflicts+b.Stats().Conflicts)

	// Update gets all through, on whichever pod.
	for i := range 8 {
		wg.Go(func() {
			_, err := pods[i%2].Update(ctx, token, func(c *cart) error {
				c.Items["n"]++
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err = b.GetFresh(ctx, token)
	require.NoError(t, err)
	require.Equal(t, 8, got.Data.Items["n"])
}

// Whatever a slow request still tries, a session that was ended stays so.
func TestRevokedStaysRevoked(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	for name, end := range map[string]func(token string, s *session) error{
		"logout": func(token string, _ *session) error { _, err := a.Revoke(ctx, token); return err },
		"device": func(_ string, s *session) error { _, err := a.RevokeByID(ctx, s.User, s.ID); return err },
		"user":   func(_ string, s *session) error { _, err := a.RevokeUser(ctx, s.User); return err },
		"sid":    func(_ string, s *session) error { _, err := a.RevokeBySID(ctx, s.Issuer, s.SID); return err },
		"others": func(_ string, s *session) error {
			other, _ := login(t, a, s.User, nil)
			_, err := a.RevokeUserExcept(ctx, other)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token, _ := login(t, b, name, &sessionstore.CreateOptions{Issuer: "https://idp", SID: name})
			_, err := b.Get(ctx, token)
			require.NoError(t, err)
			rotated, _, err := b.Rotate(ctx, token, &sessionstore.RotateOptions{Grace: time.Hour})
			require.NoError(t, err)
			slow, err := b.Get(ctx, rotated)
			require.NoError(t, err)
			require.NoError(t, end(rotated, slow))

			slow.Data.Note = "back"
			for _, p := range pods {
				for _, tok := range []string{token, rotated} {
					require.ErrorIs(t, p.Save(ctx, tok, slow), sessionstore.ErrNoSession)
					_, err = p.Update(ctx, tok, func(c *cart) error { c.Note = "back"; return nil })
					require.ErrorIs(t, err, sessionstore.ErrNoSession)
					_, _, err = p.Rotate(ctx, tok, nil)
					require.ErrorIs(t, err, sessionstore.ErrNoSession)
					_, err = p.Adapter(hook.Token{}).Commit(ctx, tok, cart{Note: "back"}, &commitOptions{MustExist: true})
					require.ErrorIs(t, err, sessionstore.ErrNoSession)
					_, err = p.RevokeUserExcept(ctx, tok)
					require.ErrorIs(t, err, sessionstore.ErrNoSession)
					_ = p.Touch(ctx, tok)
					p.FlushTouches(ctx)
					_, err = p.GetFresh(ctx, tok)
					require.ErrorIs(t, err, sessionstore.ErrRevoked)
				}
			}
			list, err := a.List(ctx, name)
			require.NoError(t, err)
			for _, i := range list {
				require.NotEqual(t, slow.ID, i.ID)
			}
		})
	}
	// A pod that is cut off from the bus does not trust what it holds.
	stale := newPod(t, db, "stale", nil)
	token, _ := login(t, a, "stale", nil)
	_, err := stale.Get(ctx, token)
	require.NoError(t, err)
	stale.halt()
	_, err = a.RevokeUser(ctx, "stale")
	require.NoError(t, err)
	_, err = stale.Get(ctx, token)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)
}
