package sessionstore_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Sessions end by the database's clock, whatever the pods' clocks say.
func TestSkewedClocks(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, template)
	skewed := func(by time.Duration) *config {
		// Without its monotonic reading, as after a suspension.
		return sessionstore.WithClock(&config{}, func() time.Time { return time.Now().Round(0).Add(by) })
	}
	behind, ahead := newPod(t, db, "behind", skewed(-72*time.Hour)), newPod(t, db, "ahead", skewed(72*time.Hour))
	token, got := login(t, ahead, "ann", &sessionstore.CreateOptions{Policy: sessionstore.Policy{Idle: sessionstore.NoIdle, Absolute: 2 * time.Second}})
	require.Equal(t, 2*time.Second, got.ExpiresAt.Sub(got.CreatedAt))

	long, _ := login(t, behind, "ann", nil)
	for _, p := range []*pod{behind, ahead} {
		for _, tok := range []string{token, long} {
			got, err := p.Get(ctx, tok)
			require.NoError(t, err)
			require.Positive(t, got.Remaining)
			require.LessOrEqual(t, got.Remaining, sessionstore.DefaultIdle)
		}
	}

	for _, p := range []*pod{behind, ahead} {
		storetest.Eventually(t, func() bool {
			_, err := p.Get(ctx, token)
			return errors.Is(err, sessionstore.ErrExpired)
		}, "at its deadline")
		_, err := p.Get(ctx, long)
		require.NoError(t, err)
		require.ErrorIs(t, p.Save(ctx, token, got), sessionstore.ErrExpired)
		_, _, err = p.Rotate(ctx, token, nil)
		require.ErrorIs(t, err, sessionstore.ErrExpired)
	}
}

// A clock that is set forward makes a pod ask again, and logs nobody out.
func TestClockStep(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, template)
	var step atomic.Int64
	p := newPod(t, db, "a", sessionstore.WithClock(&config{}, func() time.Time { return time.Now().Add(time.Duration(step.Load())) }))
	token, _ := login(t, p, "ann", nil)
	_, err := p.Get(ctx, token)
	require.NoError(t, err)
	before := p.Stats().Lookups
	_, err = p.Get(ctx, token)
	require.NoError(t, err)
	require.Equal(t, before, p.Stats().Lookups, "from memory")
	step.Store(int64(48 * time.Hour))
	_, err = p.Get(ctx, token)
	require.NoError(t, err)
	require.Equal(t, before+1, p.Stats().Lookups)
}

// Local idleness is only a miss: another pod has seen uses.
func TestIdle(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, template)
	var step atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(step.Load())) }
	a := newPod(t, db, "a", sessionstore.WithClock(&config{}, clock))
	token, got := login(t, a, "ann", nil)
	_, err := a.Get(ctx, token)
	require.NoError(t, err)
	step.Store(int64(sessionstore.DefaultIdle + time.Minute)) // as if it had passed; the database knows of later uses
	_, err = a.Get(ctx, token)
	require.NoError(t, err)

	// In the database it has been idle for too long. A pod that does not know yet notes a use, which counts for nothing.
	b := newPod(t, db, "b", sessionstore.WithClock(&config{}, clock))
	_, err = b.Get(ctx, token)
	require.NoError(t, err)
	_, err = a.pool.Exec(ctx, "UPDATE pgcoherence.session SET last_seen = last_seen - interval '31 minutes'")
	require.NoError(t, err)
	step.Add(int64(5 * time.Minute))
	require.NoError(t, b.Touch(ctx, token))
	require.Equal(t, 1, b.Stats().Waiting)
	b.FlushTouches(ctx)
	for _, p := range []*pod{a, b} {
		_, err = p.GetFresh(ctx, token)
		require.ErrorIs(t, err, sessionstore.ErrExpired)
		require.ErrorIs(t, p.Touch(ctx, token), sessionstore.ErrExpired)
		require.ErrorIs(t, p.Save(ctx, token, got), sessionstore.ErrExpired)
	}
}

// Uses are written at most every tenth of the idle timeout, change no version, and nobody hears of them.
func TestTouch(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	token, got := login(t, a, "ann", &sessionstore.CreateOptions{Policy: sessionstore.Policy{Idle: 40 * time.Minute}})
	state := func() (at time.Time, version int64, events int) {
		require.NoError(t, a.pool.QueryRow(ctx, "SELECT last_seen, version, (SELECT count(*) FROM pgcoherence.event) FROM pgcoherence.session").
			Scan(&at, &version, &events))
		return at, version, events
	}
	seen, version, events := state()
	for range 5 {
		_, err := a.Get(ctx, token)
		require.NoError(t, err)
		require.NoError(t, b.Touch(ctx, token))
	}
	require.Zero(t, a.Stats().Waiting+b.Stats().Waiting, "too soon")
	// Old enough: 4 minutes are a tenth.
	_, err := a.pool.Exec(ctx, "UPDATE pgcoherence.session SET last_seen = last_seen - interval '5 minutes'")
	require.NoError(t, err)
	_, err = b.Look(ctx, token)
	require.NoError(t, err)
	_, err = b.GetFresh(ctx, token)
	require.NoError(t, err)
	_, err = b.Get(ctx, token)
	require.NoError(t, err)
	require.Equal(t, 1, b.Stats().Waiting, "one use of one session")
	b.FlushTouches(ctx)
	after, v, e := state()
	require.Greater(t, after, seen.Add(-time.Minute))
	require.Equal(t, version, v)
	require.Equal(t, events, e)
	require.Zero(t, b.Stats().Waiting)
	require.EqualValues(t, 1, b.Stats().Touched)
	require.NoError(t, a.Save(ctx, token, got), "the version is what it was")

	// A row that somebody holds comes later; nobody waits for it.
	_, err = a.pool.Exec(ctx, "UPDATE pgcoherence.session SET last_seen = last_seen - interval '5 minutes'")
	require.NoError(t, err)
	_, err = b.GetFresh(ctx, token)
	require.NoError(t, err)
	tx := begin(t, a.pool)
	_, err = tx.Exec(ctx, "SELECT FROM pgcoherence.session FOR UPDATE")
	require.NoError(t, err)
	b.FlushTouches(ctx)
	require.Equal(t, 1, b.Stats().Waiting)
	require.NoError(t, tx.Rollback(ctx))
	b.stop() // the end of Run writes what is left
	require.Zero(t, b.Stats().Waiting)
	require.EqualValues(t, 2, b.Stats().Touched)
}

// Run writes uses by itself; without Run the request does.
func TestTouchRuns(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, template)
	running, idle := newPod(t, db, "running", &config{TouchInterval: 10 * time.Millisecond}), idlePod(t, db, "idle", nil)
	for _, p := range []*pod{running, idle} {
		token, _ := login(t, p, "ann", nil)
		_, err := p.pool.Exec(ctx, "UPDATE pgcoherence.session SET last_seen = last_seen - interval '5 minutes'")
		require.NoError(t, err)
		_, err = p.Get(ctx, token)
		require.NoError(t, err)
		storetest.Eventually(t, func() bool { return p.Stats().Touched == 1 }, "written")
	}
	require.ErrorIs(t, running.Run(ctx), sessionstore.ErrRunning)
}

// An old token works in its grace, on every pod, and not after; the deadline does not move.
func TestRotate(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for name, cfg := range map[string]*config{"plain": {}, "encrypted": {Encrypt: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, pods := setup(t, 2, cfg)
			a, b := pods[0], pods[1]
			first, made := login(t, a, "ann", nil)
			for _, p := range pods {
				_, err := p.Get(ctx, first)
				require.NoError(t, err)
			}
			same, _, err := a.Rotate(ctx, first, sessionstore.Periodic(time.Hour))
			require.NoError(t, err)
			require.Equal(t, first, same, "too young")

			second, got, err := a.Rotate(ctx, first, &sessionstore.RotateOptions{Grace: time.Hour})
			require.NoError(t, err)
			require.Equal(t, made.ID, got.ID)
			require.Equal(t, made.ExpiresAt, got.ExpiresAt)
			require.Equal(t, made.AuthenticatedAt, got.AuthenticatedAt)
			again, got, err := b.Rotate(ctx, first, &sessionstore.RotateOptions{Grace: time.Hour})
			require.NoError(t, err)
			require.Equal(t, second, again, "somebody was faster: the same for both")
			require.Equal(t, made.ID, got.ID)
			require.Equal(t, 1, got.Data.Items["tea"])
			require.False(t, got.Replaced)
			storetest.Eventually(t, func() bool {
				got, err := b.Get(ctx, first)
				return err == nil && got.Replaced
			}, "b hears of it")
			for _, p := range pods {
				for _, token := range []string{first, second} {
					got, err := p.Get(ctx, token)
					require.NoError(t, err)
					require.Equal(t, 1, got.Data.Items["tea"])
					require.Equal(t, token == first, got.Replaced)
				}
			}
			// Both write the same session.
			_, err = a.Update(ctx, first, func(c *cart) error { c.Items["tea"]++; return nil })
			require.NoError(t, err)
			got, err = a.Update(ctx, second, func(c *cart) error { c.Items["tea"]++; return nil })
			require.NoError(t, err)
			require.Equal(t, 3, got.Data.Items["tea"])

			// The grace ends by the database's clock.
			_, err = a.pool.Exec(ctx, "UPDATE pgcoherence.session SET prev_until = clock_timestamp() + interval '200 milliseconds'")
			require.NoError(t, err)
			for _, p := range pods {
				_, err = p.GetFresh(ctx, first)
				if err != nil {
					require.ErrorIs(t, err, sessionstore.ErrRotated)
				}
				storetest.Eventually(t, func() bool {
					_, err := p.Get(ctx, first)
					return errors.Is(err, sessionstore.ErrRotated)
				}, "the grace is over")
				_, err = p.Get(ctx, second)
				require.NoError(t, err)
				require.ErrorIs(t, p.Save(ctx, first, got), sessionstore.ErrRotated)
			}
			// Without grace: over at once.
			third, _, err := a.Rotate(ctx, second, nil)
			require.NoError(t, err)
			_, err = a.Get(ctx, second)
			require.ErrorIs(t, err, sessionstore.ErrNotFound)
			_, err = a.Get(ctx, first)
			require.ErrorIs(t, err, sessionstore.ErrNotFound)
			got, err = b.Get(ctx, third)
			require.NoError(t, err)
			require.Equal(t, made.ExpiresAt, got.ExpiresAt)
			require.Equal(t, 3, got.Data.Items["tea"])
			// Logging out with a token in its grace ends the session.
			fourth, _, err := a.Rotate(ctx, third, sessionstore.Periodic(0))
			require.NoError(t, err)
			_, err = b.Revoke(ctx, third)
			require.NoError(t, err)
			_, err = b.Get(ctx, fourth)
			require.ErrorIs(t, err, sessionstore.ErrRevoked)
		})
	}
}
