package sessionstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Two stores over the same tables, of other data and another name: what one ends, the other hears, and Confirm is right.
// Both are in one registry.
func TestTwoStoresOverTheSameTables(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	other, err := sessionstore.New(b.bus, b.pool, &sessionstore.Config[map[string]any]{Name: "other", Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, other.Close()) })
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(b.store))
	require.NoError(t, registry.Register(other))
	_, err = registry.Gather()
	require.NoError(t, err)

	token, _ := login(t, a, "ann", nil)
	for range 3 {
		_, err = other.Get(ctx, token)
		require.NoError(t, err)
	}
	r, err := a.RevokeUser(ctx, "ann")
	confirmed(t, a, r, err)
	_, err = other.Get(ctx, token)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)

	token, _ = login(t, a, "bob", nil)
	_, err = a.Get(ctx, token)
	require.NoError(t, err)
	r, err = other.Revoke(ctx, token)
	require.NoError(t, err)
	require.NoError(t, b.bus.Confirm(ctx, r))
	_, err = a.Get(ctx, token)
	require.ErrorIs(t, err, sessionstore.ErrRevoked)
}

// A flood of tokens that nobody was given leaves connections to those who have one, whatever method it goes to.
func TestUnknownTokensAreBounded(t *testing.T) {
	t.Parallel()

	methods := map[string]func(ctx context.Context, p *pod, token string) error{
		"Get":      func(ctx context.Context, p *pod, token string) error { _, err := p.Get(ctx, token); return err },
		"GetFresh": func(ctx context.Context, p *pod, token string) error { _, err := p.GetFresh(ctx, token); return err },
		"GetAfter": func(ctx context.Context, p *pod, token string) error { _, err := p.GetAfter(ctx, token, 9); return err },
		"Look":     func(ctx context.Context, p *pod, token string) error { _, err := p.Look(ctx, token); return err },
		"Touch":    func(ctx context.Context, p *pod, token string) error { return p.Touch(ctx, token) },
		"Rotate": func(ctx context.Context, p *pod, token string) error {
			_, _, err := p.Rotate(ctx, token, nil)
			return err
		},
		"Rotate, periodic": func(ctx context.Context, p *pod, token string) error {
			_, _, err := p.Rotate(ctx, token, sessionstore.Periodic(time.Minute))
			return err
		},
		"Update": func(ctx context.Context, p *pod, token string) error {
			_, err := p.Update(ctx, token, func(*cart) error { return nil })
			return err
		},
		"Revoke": func(ctx context.Context, p *pod, token string) error { _, err := p.Revoke(ctx, token); return err },
		"RevokeUserExcept": func(ctx context.Context, p *pod, token string) error {
			_, err := p.RevokeUserExcept(ctx, token)
			return err
		},
		"SetPolicy": func(ctx context.Context, p *pod, token string) error {
			_, err := p.SetPolicy(ctx, token, sessionstore.Policy{})
			return err
		},
		"TakeOneTime": func(ctx context.Context, p *pod, token string) error {
			_, err := p.TakeOneTime(ctx, "k", token, "")
			return err
		},
		"End": func(ctx context.Context, p *pod, token string) error {
			_, err := p.Adapter(hook.Token{}).End(ctx, token)
			return err
		},
		"Commit": func(ctx context.Context, p *pod, token string) error {
			_, err := p.Adapter(hook.Token{}).Commit(ctx, token, cart{}, &commitOptions{MustExist: true})
			return err
		},
	}

	_, p := one(t, &config{MaxLookups: 2, MaxWaiting: 4, LookupTimeout: time.Second})

	// Statements on sessions and one-time values wait, so whatever takes a connection keeps it.
	tx := begin(t, p.pool)
	_, err := tx.Exec(t.Context(), "LOCK TABLE pgcoherence.session, pgcoherence.one_time IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)

	before := p.pool.Stat().AcquiredConns()
	for name, call := range methods {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var mu sync.Mutex
		busy := 0
		for i := range 30 {
			raw := make([]byte, 32)
			raw[0], raw[1] = byte(i), byte(len(name))
			wg.Go(func() {
				if err := call(ctx, p, sessionstore.FormatToken(raw)); errors.Is(err, sessionstore.ErrBusy) {
					mu.Lock()
					busy++
					mu.Unlock()
				}
			})
		}

		storetest.Eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return busy >= 24
		}, name+": all but those at once and waiting are refused")

		require.LessOrEqual(t, p.pool.Stat().AcquiredConns()-before, int32(2), name)
		cancel()
		wg.Wait()
		storetest.Eventually(t, func() bool { return p.pool.Stat().AcquiredConns() <= before }, name+": all given back")
	}
}

// What happens to sessions is reported once, after it has happened, with who did it; a token that was replaced and comes
// back is reported, too. A function that panics harms nobody.
func TestEvents(t *testing.T) {
	t.Parallel()
	ctx := sessionstore.WithAddress(sessionstore.WithActor(t.Context(), "admin:7"), "192.0.2.7")
	var mu sync.Mutex
	var seen []string
	_, p := one(t, &config{OnEvent: func(_ context.Context, e sessionstore.Event) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprintf("%s %s %s %s %s", e.Kind, e.User, e.Reason, e.Actor, e.Address))
		if e.ID.String() == "" || e.At.IsZero() {
			t.Error("an event without what it says")
		}
		panic("the application's")
	}})
	l, err := p.BeginLogin(ctx, "ann")
	require.NoError(t, err)
	token, made, err := p.Create(ctx, l, cart{}, nil)
	require.NoError(t, err)
	next, _, err := p.Rotate(ctx, token, sessionstore.Periodic(0))
	require.NoError(t, err)
	_, err = p.RenameDevice(ctx, "ann", made.ID, "kitchen")
	require.NoError(t, err)
	_, err = p.pool.Exec(ctx, "UPDATE pgcoherence.session SET prev_until = clock_timestamp(), prev_grace = NULL")
	require.NoError(t, err)

	for range 3 {
		_, err = p.Get(ctx, token)
		require.ErrorIs(t, err, sessionstore.ErrRotated)
	}

	_, err = p.Revoke(ctx, next)
	require.NoError(t, err)
	_, err = p.RevokeUser(ctx, "ann")
	require.NoError(t, err)
	mu.Lock()
	defer mu.Unlock()

	require.Equal(t, []string{
		"created ann  admin:7 192.0.2.7", "rotated ann  admin:7 192.0.2.7", "changed ann  admin:7 192.0.2.7",
		"reused ann  admin:7 192.0.2.7", "revoked ann logout admin:7 192.0.2.7", "revoked ann user admin:7 192.0.2.7",
	}, seen)
	var by string
	require.NoError(t, p.pool.QueryRow(ctx, "SELECT revoked_by FROM pgcoherence.session").Scan(&by))
	require.Equal(t, "admin:7", by)
}

// A live session changes its device's name, its policy and its last address, on all pods.
func TestChangeALiveSession(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, &config{TouchAge: time.Millisecond})
	a, b := pods[0], pods[1]
	token, made := login(t, a, "ann", &sessionstore.CreateOptions{Device: &sessionstore.Device{IP: "192.0.2.1", Label: "old"}})
	for _, p := range pods {
		_, err := p.Get(ctx, token)
		require.NoError(t, err)
	}
	_, err := a.RenameDevice(ctx, "mallory", made.ID, "mine")
	require.ErrorIs(t, err, sessionstore.ErrNotFound)
	r, err := a.RenameDevice(ctx, "ann", made.ID, "new\x00")
	confirmed(t, a, r, err)
	got, err := b.Get(ctx, token)
	require.NoError(t, err)
	require.Equal(t, sessionstore.Device{IP: "192.0.2.1", Label: "new"}, got.Device)

	r, err = a.SetPolicy(ctx, token, sessionstore.Policy{Idle: sessionstore.NoIdle, Absolute: 30 * 24 * time.Hour})
	confirmed(t, a, r, err)
	got, err = b.Get(ctx, token)
	require.NoError(t, err)
	require.Zero(t, got.Idle)
	require.Equal(t, 30*24*time.Hour, got.ExpiresAt.Sub(got.AuthenticatedAt))
	_, err = a.SetPolicy(ctx, token, sessionstore.Policy{Absolute: time.Millisecond})
	require.ErrorIs(t, err, sessionstore.ErrInvalid)

	time.Sleep(5 * time.Millisecond) // for a use to be worth a write
	_, err = b.Get(sessionstore.WithAddress(ctx, "198.51.100.9"), token)
	require.NoError(t, err)
	b.FlushTouches(ctx)
	list, err := a.List(ctx, "ann")
	require.NoError(t, err)
	require.Equal(t, "198.51.100.9", list[0].LastAddress)
}

// AuthenticatedWithin is true only after credentials, on every path that makes a session a user's.
func TestAuthenticatedOnlyWithCredentials(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, nil)
	begin := func() sessionstore.Login {
		l, err := p.BeginLogin(ctx, "ann")
		require.NoError(t, err)
		return l
	}
	recent := func(token string) bool {
		got, err := p.GetFresh(ctx, token)
		require.NoError(t, err)
		require.Equal(t, "ann", got.User)
		return got.AuthenticatedWithin(time.Hour)
	}
	token, _, err := p.Create(ctx, begin(), cart{}, &sessionstore.CreateOptions{Unauthenticated: true})
	require.NoError(t, err)
	require.False(t, recent(token), "remembered")
	token, _, err = p.Rotate(ctx, token, &sessionstore.RotateOptions{Login: begin(), Unauthenticated: true})
	require.NoError(t, err)
	require.False(t, recent(token), "remembered once more")
	token, _, err = p.Rotate(ctx, token, &sessionstore.RotateOptions{Login: begin()})
	require.NoError(t, err)
	require.True(t, recent(token))
	token, _, err = p.Rotate(ctx, token, nil)
	require.NoError(t, err)
	require.True(t, recent(token))

	for _, authenticated := range []bool{false, true} {
		imported := ownToken()
		_, err = p.Adapter(hook.Token{}).Commit(ctx, imported, cart{}, &commitOptions{Login: begin(), Authenticated: authenticated})
		require.NoError(t, err)
		require.Equal(t, authenticated, recent(imported), "a new session")
		anonymous := ownToken()
		_, err = p.Adapter(hook.Token{}).Commit(ctx, anonymous, cart{}, nil)
		require.NoError(t, err)
		_, err = p.Adapter(hook.Token{}).Commit(ctx, anonymous, cart{}, &commitOptions{Login: begin(), Authenticated: authenticated})
		require.NoError(t, err)
		require.Equal(t, authenticated, recent(anonymous), "one that becomes the user's")
	}
}
