package sessionstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// What ends sessions is part of the caller's transaction, and of its savepoints.
func TestInTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, nil)
	token, _ := login(t, p, "ann", nil)
	for _, commit := range []bool{false, true} {
		tx, err := p.bus.Begin(ctx)
		require.NoError(t, err)
		require.NoError(t, p.RevokeUserTx(ctx, tx, "ann"))
		_, err = p.GetTx(ctx, tx, token)
		require.ErrorIs(t, err, sessionstore.ErrRevoked)
		if commit {
			require.NoError(t, tx.Commit(ctx))
			require.False(t, tx.Receipt().IsZero())
		} else {
			require.NoError(t, tx.Rollback(ctx))
			_, err = p.Get(ctx, token)
			require.NoError(t, err)
		}
	}
	_, err := p.Get(ctx, token)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)

	// All twins in one transaction.
	tx, err := p.bus.Begin(ctx)
	require.NoError(t, err)
	l, err := p.BeginLogin(ctx, "bob")
	require.NoError(t, err)
	token, _, err = p.CreateTx(ctx, tx, l, cart{Note: "1"}, nil)
	require.NoError(t, err)
	got, err := p.UpdateTx(ctx, tx, token, func(c *cart) error { c.Note = "2"; return nil })
	require.NoError(t, err)
	got.Data.Note = "3"
	require.NoError(t, p.SaveTx(ctx, tx, token, got), "SaveTx reads within the transaction")
	next, _, err := p.RotateTx(ctx, tx, token, nil)
	require.NoError(t, err)
	value, err := p.PutOneTimeTx(ctx, tx, "k", []byte("v"), nil)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(ctx))
	got, err = p.Get(ctx, next)
	require.NoError(t, err)
	require.Equal(t, "3", got.Data.Note)
	tx, err = p.bus.Begin(ctx)
	require.NoError(t, err)
	data, err := p.TakeOneTimeTx(ctx, tx, "k", value, "")
	require.NoError(t, err)
	require.Equal(t, "v", string(data))
	require.NoError(t, p.RevokeUserExceptTx(ctx, tx, next))
	require.NoError(t, p.RevokeBySIDTx(ctx, tx, "issuer", "none"))
	require.NoError(t, p.RevokeByIDTx(ctx, tx, "bob", got.ID))
	require.NoError(t, p.RevokeTx(ctx, tx, next))
	require.NoError(t, tx.Commit(ctx))
	_, err = p.Get(ctx, next)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)

	foreign, err := p.pool.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = foreign.Rollback(ctx) }()
	require.ErrorIs(t, p.RevokeUserTx(ctx, foreign, "ann"), sessionstore.ErrForeignTx)
	_, _, err = p.CreateTx(ctx, foreign, l, cart{}, nil)
	require.ErrorIs(t, err, sessionstore.ErrForeignTx)
}

func TestRevokeUserExcept(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	kept, _ := login(t, a, "ann", nil)
	other, _ := login(t, b, "ann", nil)
	theirs, _ := login(t, b, "bob", nil)
	for _, p := range pods {
		for _, token := range []string{kept, other, theirs} {
			_, err := p.Get(ctx, token)
			require.NoError(t, err)
		}
	}

	l, err := b.BeginLogin(ctx, "ann")
	require.NoError(t, err)
	r, err := a.RevokeUserExcept(ctx, kept)
	confirmed(t, a, r, err)
	_, _, err = b.Create(ctx, l, cart{}, nil)
	require.ErrorIs(t, err, sessionstore.ErrLoginEnded)

	for _, p := range pods {
		_, err = p.Get(ctx, kept)
		require.NoError(t, err)
		_, err = p.Get(ctx, theirs)
		require.NoError(t, err)
		_, err = p.Get(ctx, other)
		require.ErrorIs(t, err, sessionstore.ErrRevoked)
	}

	n, err := b.Count(ctx, "ann")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = a.RevokeUserExcept(ctx, other)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)
	anonymous, _, err := a.CreateAnonymous(ctx, cart{}, nil)
	require.NoError(t, err)
	r, err = a.RevokeUserExcept(ctx, anonymous)
	require.NoError(t, err)
	require.True(t, r.IsZero(), "nobody's sessions")
}
