package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

func sessionsOneTime(t *testing.T, makeStore NewSessions) {
	for _, encrypt := range []bool{false, true} {
		cfg := sessionsConfig()
		cfg.Encrypt = encrypt
		s := makeStore(t, cfg)
		ctx := t.Context()
		value, err := s.PutOneTime(ctx, "oauth", []byte("nonce"), &sessionstore.OneTimeOptions{Binding: "browser"})
		require.NoError(t, err)
		_, err = s.TakeOneTime(ctx, "reset", value, "browser")
		require.ErrorIs(t, err, sessionstore.ErrNotFound, "another kind")
		data, err := s.TakeOneTime(ctx, "oauth", value, "browser")
		require.NoError(t, err)
		require.Equal(t, "nonce", string(data))
		_, err = s.TakeOneTime(ctx, "oauth", value, "browser")
		require.ErrorIs(t, err, sessionstore.ErrNotFound, "once")

		value, err = s.PutOneTime(ctx, "oauth", nil, &sessionstore.OneTimeOptions{Binding: "browser"})
		require.NoError(t, err)
		_, err = s.TakeOneTime(ctx, "oauth", value, "another")
		require.ErrorIs(t, err, sessionstore.ErrBinding)
		value, err = s.PutOneTime(ctx, "oauth", nil, &sessionstore.OneTimeOptions{TTL: time.Millisecond})
		require.NoError(t, err)
		time.Sleep(5 * time.Millisecond) // longer than its lifetime
		_, err = s.TakeOneTime(ctx, "oauth", value, "")
		require.ErrorIs(t, err, sessionstore.ErrExpired)

		known, err := s.Remembers(ctx, "jti", "1")
		require.NoError(t, err)
		require.False(t, known)
		require.NoError(t, s.Remember(ctx, "jti", "1", time.Hour))
		known, err = s.Remembers(ctx, "jti", "1")
		require.NoError(t, err)
		require.True(t, known)
	}
}

func sessionsBadInput(t *testing.T, makeStore NewSessions) {
	s := makeStore(t, sessionsConfig())
	ctx := t.Context()
	_, err := s.Get(ctx, "no token")
	require.ErrorIs(t, err, sessionstore.ErrMalformed)
	_, err = s.Get(ctx, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	require.ErrorIs(t, err, sessionstore.ErrNotFound)
	_, err = s.Revoke(ctx, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	require.ErrorIs(t, err, sessionstore.ErrNotFound)

	for _, user := range []string{"", "a\x00", "\xff"} {
		_, err = s.BeginLogin(ctx, user)
		require.ErrorIs(t, err, sessionstore.ErrInvalid)
		_, err = s.RevokeUser(ctx, user)
		require.ErrorIs(t, err, sessionstore.ErrInvalid)
	}

	_, _, err = s.Create(ctx, sessionstore.Login{}, Cart{}, nil)
	require.ErrorIs(t, err, sessionstore.ErrInvalid)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = s.BeginLogin(ended, "ann")
	require.ErrorIs(t, err, context.Canceled)
}

func sessionsEncryption(t *testing.T, makeStore NewSessions) {
	cfg := sessionsConfig()
	cfg.Encrypt, cfg.SealKeys = true, [][]byte{[]byte("sixteen bytes or more")}
	s := makeStore(t, cfg)
	ctx := t.Context()
	token, _ := logIn(t, s, "ann", nil)
	_, err := s.Update(ctx, token, func(c *Cart) error { c.Items["milk"] = 1; return nil })
	require.NoError(t, err)
	next, _, err := s.Rotate(ctx, token, &sessionstore.RotateOptions{Grace: time.Minute})
	require.NoError(t, err)

	for _, token := range []string{token, next} {
		require.Equal(t, map[string]int{"tea": 1, "milk": 1}, requireValid(t, s, token).Data.Items)
	}

	forged := []byte(next)
	forged[len(forged)-2] ^= 1
	_, err = s.Get(ctx, string(forged))
	require.ErrorIs(t, err, sessionstore.ErrNoSession)
}
