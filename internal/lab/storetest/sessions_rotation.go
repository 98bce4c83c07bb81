package storetest

import (
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

func sessionsRotation(t *testing.T, makeStore NewSessions) {
	s := makeStore(t, sessionsConfig())
	ctx := t.Context()
	token, made := logIn(t, s, "ann", nil)
	same, _, err := s.Rotate(ctx, token, sessionstore.Periodic(time.Hour))
	require.NoError(t, err)
	require.Equal(t, token, same, "too young")

	// With a grace the old token works until the new one is used, and for the grace after that.
	graceful := &sessionstore.RotateOptions{Grace: 300 * time.Millisecond}
	next, got, err := s.Rotate(ctx, token, graceful)
	require.NoError(t, err)
	require.NotEqual(t, token, next)
	require.Equal(t, made.ID, got.ID)
	require.Equal(t, 1, got.Data.Items["tea"])
	require.True(t, requireValid(t, s, token).Replaced)
	again, _, err := s.Rotate(ctx, token, graceful)
	require.NoError(t, err)
	require.Equal(t, next, again, "a second rotation of the old token returns the same token")
	require.False(t, requireValid(t, s, next).Replaced)
	Eventually(t, func() bool {
		_, err := s.Get(ctx, token)
		return errors.Is(err, sessionstore.ErrRotated)
	}, "the grace ends")
	requireValid(t, s, next)

	// Without a grace the old token is invalid at once.
	last, _, err := s.Rotate(ctx, next, nil)
	require.NoError(t, err)
	_, err = s.Get(ctx, next)
	require.ErrorIs(t, err, sessionstore.ErrNoSession)
	requireValid(t, s, last)

	// A logout with a replaced token ends the session.
	final, _, err := s.Rotate(ctx, last, graceful)
	require.NoError(t, err)
	_, err = s.Revoke(ctx, last)
	require.NoError(t, err)
	requireEnded(t, s, final, sessionstore.ErrRevoked)
}

func sessionsParallelRotation(t *testing.T, makeStore NewSessions) {
	s := makeStore(t, sessionsConfig())
	token, _ := logIn(t, s, "ann", nil)
	var mu sync.Mutex
	given := map[string]bool{}
	var requests sync.WaitGroup
	for range 8 {
		requests.Go(func() {
			next, _, err := s.Rotate(t.Context(), token, &sessionstore.RotateOptions{Grace: time.Minute})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			given[next] = true
		})
	}

	requests.Wait()
	delete(given, token) // a rotation that came too late to get the new token keeps the old one
	require.Len(t, given, 1)

	for next := range maps.Keys(given) {
		requireValid(t, s, next)
	}
}

func sessionsRotateLogin(t *testing.T, makeStore NewSessions) {
	s := makeStore(t, sessionsConfig())
	ctx := t.Context()
	anonymous, made, err := s.CreateAnonymous(ctx, Cart{map[string]int{"tea": 2}}, nil)
	require.NoError(t, err)
	token, got, err := s.Rotate(ctx, anonymous, &sessionstore.RotateOptions{
		Login: beginLogin(t, s, "ann"), Device: &sessionstore.Device{Label: "phone"},
	})
	require.NoError(t, err)
	require.Equal(t, made.ID, got.ID)
	require.Equal(t, "ann", got.User)
	require.Equal(t, "phone", got.Device.Label)
	require.True(t, got.AuthenticatedWithin(time.Hour))
	require.Equal(t, 2, requireValid(t, s, token).Data.Items["tea"])
	_, err = s.Get(ctx, anonymous)
	require.ErrorIs(t, err, sessionstore.ErrNoSession)

	ended := beginLogin(t, s, "bob")
	_, err = s.RevokeUser(ctx, "bob")
	require.NoError(t, err)
	_, _, err = s.Rotate(ctx, token, &sessionstore.RotateOptions{Login: ended})
	require.ErrorIs(t, err, sessionstore.ErrLoginEnded)
	require.Equal(t, "ann", requireValid(t, s, token).User)
	for _, bad := range []*sessionstore.RotateOptions{
		{Grace: -1}, {Grace: 2 * time.Hour}, {Grace: time.Second, Login: beginLogin(t, s, "ann")}, {Unauthenticated: true}, {Issuer: "x"},
	} {
		_, _, err = s.Rotate(ctx, token, bad)
		require.ErrorIs(t, err, sessionstore.ErrInvalid)
	}
}
