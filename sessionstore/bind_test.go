package sessionstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

func ends(t *testing.T, ctx context.Context, cause error) { //nolint:revive // the context is what is tested
	t.Helper()
	select {
	case <-ctx.Done():
		require.ErrorIs(t, context.Cause(ctx), cause)
	case <-time.After(30 * time.Second):
		require.Fail(t, "the context does not end")
	}
}

// A stream ends when its session is ended on another pod, whatever token it has by then, and whoever ends it.
func TestBind(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	for name, end := range map[string]func(token string, s *session) error{
		"logout": func(token string, _ *session) error { _, err := b.Revoke(ctx, token); return err },
		"device": func(_ string, s *session) error { _, err := b.RevokeByID(ctx, s.User, s.ID); return err },
		"user":   func(_ string, s *session) error { _, err := b.RevokeUser(ctx, s.User); return err },
		"sid":    func(_ string, s *session) error { _, err := b.RevokeBySID(ctx, "idp", s.SID); return err },
		"others": func(_ string, s *session) error {
			other, _ := login(t, b, s.User, nil)
			_, err := b.RevokeUserExcept(ctx, other)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token, _ := login(t, a, name, &sessionstore.CreateOptions{Issuer: "idp", SID: name})
			got, err := a.Get(ctx, token)
			require.NoError(t, err)
			stream, cancel := a.Bind(ctx, got)
			defer cancel()
			untouched, cancelUntouched := a.Bind(ctx, got)
			cancelUntouched()
			require.ErrorIs(t, context.Cause(untouched), context.Canceled)

			token, _, err = b.Rotate(ctx, token, sessionstore.Periodic(0))
			require.NoError(t, err)
			token, got, err = b.Rotate(ctx, token, nil)
			require.NoError(t, err)
			_, err = b.Update(ctx, token, func(c *cart) error { c.Note = "x"; return nil })
			require.NoError(t, err)
			require.NoError(t, stream.Err(), "it goes on")
			require.NoError(t, end(token, got))
			ends(t, stream, sessionstore.ErrRevoked)
		})
	}
}

// The kept session's streams go on, and follow it when somebody logs in with it.
func TestBindGoesOn(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	token, got := login(t, a, "ann", nil)
	other, otherGot := login(t, a, "ann", nil)
	kept, cancel := a.Bind(ctx, got)
	defer cancel()
	over, cancelOver := a.Bind(ctx, otherGot)
	defer cancelOver()
	_, err := b.RevokeUserExcept(ctx, token)
	require.NoError(t, err)
	ends(t, over, sessionstore.ErrRevoked)
	require.NoError(t, kept.Err())
	_, err = a.Get(ctx, other)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)

	// Anonymous first, then bob's.
	planted, anonymous, err := a.CreateAnonymous(ctx, cart{}, nil)
	require.NoError(t, err)
	stream, cancelStream := a.Bind(ctx, anonymous)
	defer cancelStream()
	l, err := b.BeginLogin(ctx, "bob")
	require.NoError(t, err)
	_, _, err = b.Rotate(ctx, planted, &sessionstore.RotateOptions{Login: l})
	require.NoError(t, err)
	// Whether or not a has looked already: bob's end is heard.
	_, err = b.RevokeUser(ctx, "bob")
	require.NoError(t, err)
	ends(t, stream, sessionstore.ErrRevoked)
	require.NoError(t, kept.Err())
	storetest.Eventually(t, func() bool { return a.Stats().Streams == 1 }, "what is over is not kept")
	a.stop()
	ends(t, kept, sessionstore.ErrClosed)
	storetest.Eventually(t, func() bool { return a.Stats().Streams == 0 }, "nothing is kept")
	late, cancelLate := a.Bind(ctx, got)
	defer cancelLate()
	ends(t, late, sessionstore.ErrNotRunning)
}

// A stream ends at its session's deadline, and if it is already over when it is bound.
func TestBindDeadline(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, nil)
	_, got := login(t, p, "ann", &sessionstore.CreateOptions{Policy: sessionstore.Policy{Absolute: 300 * time.Millisecond}})
	stream, cancel := p.Bind(ctx, got)
	defer cancel()
	ends(t, stream, sessionstore.ErrExpired)

	token, got := login(t, p, "bob", nil)
	_, err := p.Revoke(ctx, token)
	require.NoError(t, err)
	stream, cancel = p.Bind(ctx, got)
	defer cancel()
	ends(t, stream, sessionstore.ErrRevoked)
	_, err = p.pool.Exec(ctx, "DELETE FROM pgcoherence.session")
	require.NoError(t, err)
	stream, cancel = p.Bind(ctx, got)
	defer cancel()
	ends(t, stream, sessionstore.ErrNotFound)
	stream, cancel = p.Bind(ctx, nil)
	defer cancel()
	ends(t, stream, sessionstore.ErrInvalid)
}
