package sessionstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

func TestAdapterQueriesPrepare(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, template)
	conn, err := pgx.Connect(t.Context(), db.DSN)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	queries, err := sessionstore.AdapterQueries(bus.DefaultSchema)
	require.NoError(t, err)
	require.Len(t, queries, 4)
	for name, sql := range queries {
		_, err := conn.Prepare(t.Context(), name, sql)
		require.NoError(t, err, name)
	}
}

// The first End leaves a session renewable, with its user, generation and deadline; the second one does not.
func TestEndAndRenewal(t *testing.T) {
	t.Parallel()
	_, p := one(t, nil)
	token, got := login(t, p, "ann", &sessionstore.CreateOptions{Policy: sessionstore.Policy{Absolute: time.Hour}})
	_, err := p.Adapter(hook.Token{}).Renewal(t.Context(), got.ID)
	require.ErrorIs(t, err, sessionstore.ErrRevoked, "it is not over")

	_, err = p.Adapter(hook.Token{}).End(t.Context(), token)
	require.NoError(t, err)
	r, err := p.Adapter(hook.Token{}).Renewal(t.Context(), got.ID)
	require.NoError(t, err)
	require.Equal(t, "ann", r.Login.User())
	require.InDelta(t, time.Hour, r.Remaining, float64(time.Minute))
	next, _ := login(t, p, "bob", nil) // for a token
	_, err = p.Adapter(hook.Token{}).End(t.Context(), next)
	require.NoError(t, err)

	fresh := sessionstore.FormatToken(make([]byte, 32))
	continued, err := p.Adapter(hook.Token{}).Commit(t.Context(), fresh, cart{Note: "on"}, &commitOptions{ID: got.ID, Login: r.Login, Remaining: r.Remaining})
	require.NoError(t, err)
	require.Equal(t, got.ID, continued.ID)

	_, err = p.Adapter(hook.Token{}).End(t.Context(), token) // a logout with the token from before
	require.NoError(t, err)
	_, err = p.GetFresh(t.Context(), fresh)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)
	_, err = p.Adapter(hook.Token{}).Renewal(t.Context(), got.ID)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)
	_, err = p.Adapter(hook.Token{}).End(t.Context(), token)
	require.NoError(t, err)
	_, err = p.Adapter(hook.Token{}).End(t.Context(), sessionstore.FormatToken(append(make([]byte, 31), 1)))
	require.ErrorIs(t, err, sessionstore.ErrNotFound)
}

// Whoever continues a session after its user's sessions were all ended continues nothing.
func TestRenewalAfterRevokeUser(t *testing.T) {
	t.Parallel()
	_, p := one(t, nil)
	token, got := login(t, p, "ann", nil)
	_, err := p.Adapter(hook.Token{}).End(t.Context(), token)
	require.NoError(t, err)
	r, err := p.Adapter(hook.Token{}).Renewal(t.Context(), got.ID)
	require.NoError(t, err)
	_, err = p.RevokeUser(t.Context(), "ann")
	require.NoError(t, err)
	_, err = p.Adapter(hook.Token{}).Commit(t.Context(), sessionstore.FormatToken(make([]byte, 32)), cart{}, &commitOptions{ID: got.ID, Login: r.Login})
	require.ErrorIs(t, err, sessionstore.ErrLoginEnded)
}

func TestEach(t *testing.T) {
	t.Parallel()
	db, p := one(t, nil)
	sealing := newPod(t, db, "s", &config{Encrypt: true})
	_, kept := login(t, p, "ann", &sessionstore.CreateOptions{Policy: sessionstore.Policy{Absolute: time.Hour}})
	ended, _ := login(t, p, "bob", nil)
	_, err := p.Revoke(t.Context(), ended)
	require.NoError(t, err)
	login(t, p, "eve", nil)
	_, err = p.RevokeUser(t.Context(), "eve")
	require.NoError(t, err)
	login(t, sealing, "dan", nil)

	seen := 0
	require.NoError(t, p.Adapter(hook.Token{}).Each(t.Context(), func(got *session) error {
		seen++
		require.Equal(t, kept.ID, got.ID)
		require.Equal(t, "ann", got.User)
		require.Equal(t, 1, got.Data.Items["tea"])
		require.InDelta(t, time.Hour, got.UntilDeadline(), float64(time.Minute))
		return nil
	}))

	require.Equal(t, 1, seen)
	mine := errors.New("enough")
	require.ErrorIs(t, p.Adapter(hook.Token{}).Each(t.Context(), func(*session) error { return mine }), mine)
	require.Zero(t, (&session{}).UntilDeadline())
}
