package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

func sessionsGenerations(t *testing.T, makeStore NewSessions) {
	s := makeStore(t, sessionsConfig())
	ctx := t.Context()
	first, _ := logIn(t, s, "ann", nil)
	second, _ := logIn(t, s, "ann", nil)
	bob, _ := logIn(t, s, "bob", nil)
	underWay := beginLogin(t, s, "ann")

	_, err := s.RevokeUserExcept(ctx, first)
	require.NoError(t, err)
	requireValid(t, s, first)
	requireEnded(t, s, second, sessionstore.ErrRevoked)
	_, _, err = s.Create(ctx, underWay, Cart{}, nil)
	require.ErrorIs(t, err, sessionstore.ErrLoginEnded)

	underWay = beginLogin(t, s, "ann")
	never := beginLogin(t, s, "never seen")
	for _, user := range []string{"ann", "never seen"} {
		receipt, err := s.RevokeUser(ctx, user)
		require.NoError(t, err)
		require.False(t, receipt.IsZero())
	}
	requireEnded(t, s, first, sessionstore.ErrRevoked)
	for _, login := range []sessionstore.Login{underWay, never} {
		_, _, err = s.Create(ctx, login, Cart{}, nil)
		require.ErrorIs(t, err, sessionstore.ErrLoginEnded)
	}
	requireValid(t, s, bob)

	// A deleted user, and a new user with the same id.
	ann, _ := logIn(t, s, "ann", nil)
	underWay = beginLogin(t, s, "ann")
	_, err = s.ForgetUser(ctx, "ann")
	require.NoError(t, err)
	_, err = s.Get(ctx, ann)
	require.ErrorIs(t, err, sessionstore.ErrNoSession)
	_, _, err = s.Create(ctx, underWay, Cart{}, nil)
	require.ErrorIs(t, err, sessionstore.ErrLoginEnded)
	again, _ := logIn(t, s, "ann", nil)
	requireValid(t, s, again)
	_, err = s.Get(ctx, ann)
	require.ErrorIs(t, err, sessionstore.ErrNoSession)

	anonymous, _, err := s.CreateAnonymous(ctx, Cart{}, nil)
	require.NoError(t, err)
	_, err = s.RevokeAll(ctx)
	require.NoError(t, err)
	for _, token := range []string{bob, again, anonymous} {
		requireEnded(t, s, token, sessionstore.ErrRevoked)
	}
}

func sessionsExpiry(t *testing.T, makeStore NewSessions) {
	s := makeStore(t, sessionsConfig())
	ctx := t.Context()
	short, _ := logIn(t, s, "ann", &sessionstore.CreateOptions{Policy: sessionstore.Policy{Absolute: 200 * time.Millisecond}})
	idle, _ := logIn(t, s, "ann", &sessionstore.CreateOptions{Policy: sessionstore.Policy{Idle: 200 * time.Millisecond}})
	long, _ := logIn(t, s, "ann", nil)
	for _, token := range []string{short, idle} {
		Eventually(t, func() bool {
			_, err := s.Look(ctx, token)
			return errors.Is(err, sessionstore.ErrExpired)
		}, "it expires")
	}
	n, err := s.Count(ctx, "ann")
	require.NoError(t, err)
	require.Equal(t, 1, n)

	receipt, err := s.SetPolicy(ctx, long, sessionstore.Policy{Idle: sessionstore.NoIdle, Absolute: 48 * time.Hour})
	require.NoError(t, err)
	require.False(t, receipt.IsZero())
	got := requireValid(t, s, long)
	require.Zero(t, got.Idle)
	require.Equal(t, 48*time.Hour, got.ExpiresAt.Sub(got.AuthenticatedAt).Round(time.Second))
	_, err = s.SetPolicy(ctx, long, sessionstore.Policy{Absolute: time.Millisecond})
	require.ErrorIs(t, err, sessionstore.ErrInvalid)
}

func sessionsStreams(t *testing.T, makeStore NewSessions) {
	s := makeStore(t, sessionsConfig())
	ctx := t.Context()
	for name, end := range map[string]func(token string, got *sessionstore.Session[Cart]) error{
		"revoked": func(token string, _ *sessionstore.Session[Cart]) error { _, err := s.Revoke(ctx, token); return err },
		"user": func(_ string, got *sessionstore.Session[Cart]) error {
			_, err := s.RevokeUser(ctx, got.User)
			return err
		},
	} {
		token, got := logIn(t, s, name, nil)
		stream, cancel := s.Bind(ctx, got)
		next, _, err := s.Rotate(ctx, token, nil)
		require.NoError(t, err)
		require.NoError(t, stream.Err(), "the stream continues after a rotation")
		require.NoError(t, end(next, got))
		select {
		case <-stream.Done():
			require.ErrorIs(t, context.Cause(stream), sessionstore.ErrRevoked, name)
		case <-time.After(30 * time.Second):
			t.Fatal(name)
		}
		cancel()
	}

	_, short := logIn(t, s, "short", &sessionstore.CreateOptions{Policy: sessionstore.Policy{Absolute: 200 * time.Millisecond}})
	stream, cancel := s.Bind(ctx, short)
	defer cancel()
	select {
	case <-stream.Done():
		require.ErrorIs(t, context.Cause(stream), sessionstore.ErrExpired)
	case <-time.After(30 * time.Second):
		t.Fatal("expired")
	}
	none, cancel := s.Bind(ctx, nil)
	defer cancel()
	require.ErrorIs(t, context.Cause(none), sessionstore.ErrInvalid)
}

func sessionsProvider(t *testing.T, makeStore NewSessions) {
	s := makeStore(t, sessionsConfig())
	ctx := t.Context()
	token, _ := logIn(t, s, "ann", &sessionstore.CreateOptions{Issuer: "https://id.example", SID: "1"})
	other, _ := logIn(t, s, "ann", &sessionstore.CreateOptions{Issuer: "https://id.example", SID: "2"})
	underWay := beginLogin(t, s, "ann")
	_, err := s.RevokeBySID(ctx, "https://id.example", "1")
	require.NoError(t, err)
	requireEnded(t, s, token, sessionstore.ErrRevoked)
	requireValid(t, s, other)
	_, _, err = s.Create(ctx, underWay, Cart{}, &sessionstore.CreateOptions{Issuer: "https://id.example", SID: "1"})
	require.ErrorIs(t, err, sessionstore.ErrLoginEnded)
	_, err = s.RevokeBySID(ctx, "", "")
	require.ErrorIs(t, err, sessionstore.ErrInvalid)
}

func sessionsClosed(t *testing.T, makeStore NewSessions) {
	s := makeStore(t, sessionsConfig())
	token, _ := logIn(t, s, "ann", nil)
	require.NoError(t, s.Close())
	_, err := s.Get(t.Context(), token)
	require.Error(t, err)
	require.NotErrorIs(t, err, sessionstore.ErrNoSession, "a closed store does not know whether the session exists")
	require.ErrorIs(t, s.Run(t.Context()), sessionstore.ErrRunning)
}
