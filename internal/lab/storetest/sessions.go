package storetest

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Cart is the data of the sessions of SessionsContract.
type Cart struct {
	Items map[string]int `json:"items,omitempty"`
}

// NewSessions makes a store that runs, for one test. It ends with the test.
type NewSessions func(t *testing.T, cfg *sessionstore.Config[Cart]) sessionstore.Sessions[Cart]

// SessionsContract is what every sessionstore.Sessions promises. Each implementation runs it.
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
	require.Equal(t, 1, requireValid(t, s, token).Data.Items["tea"], "data belongs to the caller")

	same, err := s.Update(ctx, token, func(*Cart) error { return nil })
	require.NoError(t, err)
	require.EqualValues(t, 2, same.Version, "what is unchanged is not written")
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
	require.NoError(t, s.Save(ctx, token, got), "the same again is the newest")
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

	// A user who is gone, and somebody else with the same id.
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

func sessionsRotation(t *testing.T, makeStore NewSessions) {
	s := makeStore(t, sessionsConfig())
	ctx := t.Context()
	token, made := logIn(t, s, "ann", nil)
	same, _, err := s.Rotate(ctx, token, sessionstore.Periodic(time.Hour))
	require.NoError(t, err)
	require.Equal(t, token, same, "too young")

	// With a grace the old token works until the new one is used, and then for the grace.
	graceful := &sessionstore.RotateOptions{Grace: 300 * time.Millisecond}
	next, got, err := s.Rotate(ctx, token, graceful)
	require.NoError(t, err)
	require.NotEqual(t, token, next)
	require.Equal(t, made.ID, got.ID)
	require.Equal(t, 1, got.Data.Items["tea"])
	require.True(t, requireValid(t, s, token).Replaced)
	again, _, err := s.Rotate(ctx, token, graceful)
	require.NoError(t, err)
	require.Equal(t, next, again, "whoever rotates the old one is given the same")
	require.False(t, requireValid(t, s, next).Replaced)
	Eventually(t, func() bool {
		_, err := s.Get(ctx, token)
		return errors.Is(err, sessionstore.ErrRotated)
	}, "the grace ends")
	requireValid(t, s, next)

	// Without one it is dead at once.
	last, _, err := s.Rotate(ctx, next, nil)
	require.NoError(t, err)
	_, err = s.Get(ctx, next)
	require.ErrorIs(t, err, sessionstore.ErrNoSession)
	requireValid(t, s, last)

	// A logout by a token that was replaced means the session.
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
	delete(given, token) // one that was too late to know the new one goes on with the old
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
		require.NoError(t, stream.Err(), "it goes on through rotation")
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
		time.Sleep(5 * time.Millisecond) // longer than it lasts
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

func sessionsClosed(t *testing.T, makeStore NewSessions) {
	s := makeStore(t, sessionsConfig())
	token, _ := logIn(t, s, "ann", nil)
	require.NoError(t, s.Close())
	_, err := s.Get(t.Context(), token)
	require.Error(t, err)
	require.NotErrorIs(t, err, sessionstore.ErrNoSession, "nobody knows")
	require.ErrorIs(t, s.Run(t.Context()), sessionstore.ErrRunning)
}
