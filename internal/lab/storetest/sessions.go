package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Cart is the session data that SessionsContract uses.
type Cart struct {
	Items map[string]int `json:"items,omitempty"`
}

// NewSessions returns a running store for one test. It stops with the test.
type NewSessions func(t *testing.T, cfg *sessionstore.Config[Cart]) sessionstore.Sessions[Cart]

// SessionsContract tests what every sessionstore.Sessions has to do. Each implementation runs it.
func SessionsContract(t *testing.T, makeStore NewSessions) {
	for name, test := range map[string]func(*testing.T, NewSessions){
		"login and logout": sessionsLogin, "data": sessionsData, "conflicts": sessionsConflicts, "generations": sessionsGenerations,
		"rotation": sessionsRotation, "rotation in parallel": sessionsParallelRotation, "logins by rotation": sessionsRotateLogin,
		"expiry": sessionsExpiry, "limits": sessionsLimits, "lists": sessionsLists, "streams": sessionsStreams,
		"one-time values": sessionsOneTime, "provider": sessionsProvider, "bad input": sessionsBadInput, "encryption": sessionsEncryption,
		"after Close": sessionsClosed,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, makeStore)
		})
	}
}

func sessionsConfig() *sessionstore.Config[Cart] {
	return &sessionstore.Config[Cart]{Logger: Quiet(), SweepInterval: -1}
}

type sessions = sessionstore.Sessions[Cart]

func beginLogin(t *testing.T, s sessions, user string) sessionstore.Login {
	t.Helper()
	l, err := s.BeginLogin(t.Context(), user)
	require.NoError(t, err)
	return l
}

func logIn(t *testing.T, s sessions, user string, o *sessionstore.CreateOptions) (string, *sessionstore.Session[Cart]) {
	t.Helper()
	token, got, err := s.Create(t.Context(), beginLogin(t, s, user), Cart{map[string]int{"tea": 1}}, o)
	require.NoError(t, err)
	return token, got
}

func requireEnded(t *testing.T, s sessions, token string, want error) {
	t.Helper()
	_, err := s.Get(t.Context(), token)
	require.ErrorIs(t, err, want)
	require.ErrorIs(t, err, sessionstore.ErrNoSession)
	_, err = s.GetFresh(t.Context(), token)
	require.ErrorIs(t, err, want)
}

func requireValid(t *testing.T, s sessions, token string) *sessionstore.Session[Cart] {
	t.Helper()
	got, err := s.Get(t.Context(), token)
	require.NoError(t, err)
	return got
}

func sessionsLogin(t *testing.T, makeStore NewSessions) {
	s := makeStore(t, sessionsConfig())
	ctx := t.Context()
	token, made := logIn(t, s, "ann", &sessionstore.CreateOptions{Device: &sessionstore.Device{IP: "192.0.2.1"}})
	got := requireValid(t, s, token)
	require.Equal(t, made.ID, got.ID)
	require.Equal(t, "ann", got.User)
	require.Equal(t, "192.0.2.1", got.Device.IP)
	require.Equal(t, 1, got.Data.Items["tea"])
	require.True(t, got.AuthenticatedWithin(time.Hour))
	require.Positive(t, got.UntilDeadline())
	require.WithinDuration(t, got.CreatedAt.Add(sessionstore.DefaultAbsolute), got.ExpiresAt, time.Second)
	look, err := s.Look(ctx, token)
	require.NoError(t, err)
	require.Equal(t, made.ID, look.ID)
	require.NoError(t, s.Touch(ctx, token))

	receipt, err := s.Revoke(ctx, token)
	require.NoError(t, err)
	require.False(t, receipt.IsZero())
	requireEnded(t, s, token, sessionstore.ErrRevoked)
	_, err = s.Revoke(ctx, token)
	require.NoError(t, err, "again")
	_, err = s.Update(ctx, token, func(*Cart) error { return nil })
	require.ErrorIs(t, err, sessionstore.ErrRevoked)

	anonymous, _, err := s.CreateAnonymous(ctx, Cart{}, nil)
	require.NoError(t, err)
	got = requireValid(t, s, anonymous)
	require.Empty(t, got.User)
	require.False(t, got.AuthenticatedWithin(time.Hour))
}

func sessionsData(t *testing.T, makeStore NewSessions) {
	s := makeStore(t, sessionsConfig())
	ctx := t.Context()
	token, _ := logIn(t, s, "ann", nil)
	got, err := s.Update(ctx, token, func(c *Cart) error { c.Items["milk"] = 2; return nil })
	require.NoError(t, err)
	require.EqualValues(t, 2, got.Version)
	got = requireValid(t, s, token)
	require.Equal(t, map[string]int{"tea": 1, "milk": 2}, got.Data.Items)
	got.Data.Items["tea"] = 99
	require.Equal(t, 1, requireValid(t, s, token).Data.Items["tea"], "the caller's change of returned data has no effect")

	same, err := s.Update(ctx, token, func(*Cart) error { return nil })
	require.NoError(t, err)
	require.EqualValues(t, 2, same.Version, "an update without a change writes nothing")
	theirs := errors.New("theirs")
	_, err = s.Update(ctx, token, func(*Cart) error { return theirs })
	require.Equal(t, theirs, err)

	got.Data.Items = map[string]int{"salt": 3}
	require.NoError(t, s.Save(ctx, token, got))
	require.EqualValues(t, 3, got.Version)
	after, err := s.GetAfter(ctx, token, 3)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"salt": 3}, after.Data.Items)
	require.ErrorIs(t, s.Save(ctx, token, same), sessionstore.ErrConflict)
	require.NoError(t, s.Save(ctx, token, got), "a saved session can be saved again")
	other, _ := logIn(t, s, "ann", nil)
	require.ErrorIs(t, s.Save(ctx, other, got), sessionstore.ErrInvalid, "another session's token")
	require.ErrorIs(t, s.Save(ctx, token, &sessionstore.Session[Cart]{}), sessionstore.ErrInvalid)
}

func sessionsConflicts(t *testing.T, makeStore NewSessions) {
	s := makeStore(t, sessionsConfig())
	token, _ := logIn(t, s, "ann", nil)
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			_, err := s.Update(t.Context(), token, func(c *Cart) error { c.Items["n"]++; return nil })
			if err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	require.Equal(t, 8, requireValid(t, s, token).Data.Items["n"])
}

func sessionsLimits(t *testing.T, makeStore NewSessions) {
	cfg := sessionsConfig()
	cfg.MaxPerUser, cfg.MaxData = 2, 100
	s := makeStore(t, cfg)
	first, _ := logIn(t, s, "ann", nil)
	second, _ := logIn(t, s, "ann", nil)
	third, _ := logIn(t, s, "ann", nil)
	requireEnded(t, s, first, sessionstore.ErrRevoked)
	requireValid(t, s, second)
	requireValid(t, s, third)
	_, err := s.Update(t.Context(), third, func(c *Cart) error { c.Items[string(make([]byte, 200))] = 1; return nil })
	require.ErrorIs(t, err, sessionstore.ErrTooLarge)

	cfg = sessionsConfig()
	cfg.MaxPerUser, cfg.RefuseOverLimit = 1, true
	s = makeStore(t, cfg)
	only, _ := logIn(t, s, "ann", nil)
	_, _, err = s.Create(t.Context(), beginLogin(t, s, "ann"), Cart{}, nil)
	require.ErrorIs(t, err, sessionstore.ErrLimit)
	requireValid(t, s, only)
}

func sessionsLists(t *testing.T, makeStore NewSessions) {
	s := makeStore(t, sessionsConfig())
	ctx := t.Context()
	_, old := logIn(t, s, "ann", nil)
	token, young := logIn(t, s, "ann", &sessionstore.CreateOptions{Device: &sessionstore.Device{Label: "phone"}})
	logIn(t, s, "bob", nil)
	list, err := s.List(ctx, "ann")
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, young.ID, list[0].ID, "newest first")
	require.Equal(t, "phone", list[0].Device.Label)

	_, err = s.RenameDevice(ctx, "ann", young.ID, "kitchen")
	require.NoError(t, err)
	require.Equal(t, "kitchen", requireValid(t, s, token).Device.Label)
	for _, user := range []string{"bob", ""} {
		_, err = s.RenameDevice(ctx, user, young.ID, "mine")
		require.ErrorIs(t, err, sessionstore.ErrNotFound)
		_, err = s.RevokeByID(ctx, user, young.ID)
		require.ErrorIs(t, err, sessionstore.ErrNotFound)
	}
	_, err = s.RevokeByID(ctx, "ann", young.ID)
	require.NoError(t, err)
	requireEnded(t, s, token, sessionstore.ErrRevoked)
	list, err = s.List(ctx, "ann")
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, old.ID, list[0].ID)
	_, err = s.RevokeByID(ctx, "ann", uuid.New())
	require.ErrorIs(t, err, sessionstore.ErrNotFound)
}
