package sessionstore_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// However many log in at once, a user has no more sessions than allowed, and the newest are those that stay.
func TestMaxPerUser(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, &config{MaxPerUser: 2})
	a, b := pods[0], pods[1]
	first, _ := login(t, a, "ann", nil)
	second, _ := login(t, b, "ann", nil)
	_, err := b.Get(ctx, first)
	require.NoError(t, err)
	third, _ := login(t, b, "ann", nil)
	_, err = b.Get(ctx, first)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)

	for _, token := range []string{second, third} {
		_, err = a.Get(ctx, token)
		require.NoError(t, err)
	}

	require.EqualValues(t, 1, b.Stats().Revoked[sessionstore.ReasonLimit])

	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			p := pods[i%2]
			l, err := p.BeginLogin(ctx, "new")
			if err == nil {
				_, _, err = p.Create(ctx, l, cart{}, nil)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}

	wg.Wait()
	n, err := a.Count(ctx, "new")
	require.NoError(t, err)
	require.Equal(t, 2, n)

	// An anonymous session that becomes ann's counts as well.
	token, _, err := a.CreateAnonymous(ctx, cart{}, nil)
	require.NoError(t, err)
	l, err := a.BeginLogin(ctx, "ann")
	require.NoError(t, err)
	_, _, err = a.Rotate(ctx, token, &sessionstore.RotateOptions{Login: l})
	require.NoError(t, err)
	n, err = a.Count(ctx, "ann")
	require.NoError(t, err)
	require.Equal(t, 2, n)
}

func TestRefuseOverLimit(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, &config{MaxPerUser: 1, RefuseOverLimit: true})
	token, _ := login(t, p, "ann", nil)
	l, err := p.BeginLogin(ctx, "ann")
	require.NoError(t, err)
	_, _, err = p.Create(ctx, l, cart{}, nil)
	require.ErrorIs(t, err, sessionstore.ErrLimit)
	_, err = p.Revoke(ctx, token)
	require.NoError(t, err)
	_, _, err = p.Create(ctx, l, cart{}, nil)
	require.NoError(t, err)
}

// The identity provider's logout ends the sessions with its sid, on all pods, and logins that are under way.
func TestRevokeBySID(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	o := &sessionstore.CreateOptions{Issuer: "https://idp", SID: "s1"}
	token, _ := login(t, a, "ann", o)
	other, _ := login(t, a, "ann", &sessionstore.CreateOptions{Issuer: "https://idp", SID: "s2"})
	_, err := b.Get(ctx, token)
	require.NoError(t, err)
	l, err := a.BeginLogin(ctx, "ann")
	require.NoError(t, err)
	r, err := b.RevokeBySID(ctx, "https://idp", "s1")
	confirmed(t, b, r, err)
	for _, p := range pods {
		_, err = p.Get(ctx, token)
		require.ErrorIs(t, err, sessionstore.ErrRevoked)
		_, err = p.Get(ctx, other)
		require.NoError(t, err)
	}
	_, _, err = a.Create(ctx, l, cart{}, o)
	require.ErrorIs(t, err, sessionstore.ErrLoginEnded)
	anonymous, _, err := a.CreateAnonymous(ctx, cart{}, nil)
	require.NoError(t, err)
	_, _, err = a.Rotate(ctx, anonymous, &sessionstore.RotateOptions{Login: l, Issuer: o.Issuer, SID: o.SID})
	require.ErrorIs(t, err, sessionstore.ErrLoginEnded)

	// A login whose transaction is open when the logout comes: the logout waits for it, and ends it.
	tx, err := a.bus.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	token, _, err = a.CreateTx(ctx, tx, l, cart{}, &sessionstore.CreateOptions{Issuer: "https://idp", SID: "s3"})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := b.RevokeBySID(ctx, "https://idp", "s3")
		done <- err
	}()
	storetest.Eventually(t, func() bool {
		var waiting int
		err := b.pool.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()").Scan(&waiting)
		return err == nil && waiting == 1
	}, "it waits")
	require.NoError(t, tx.Commit(ctx))
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		require.Fail(t, "it waits for ever")
	}
	_, err = a.GetFresh(ctx, token)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)
	require.ErrorIs(t, err, sessionstore.ErrNoSession)
}
