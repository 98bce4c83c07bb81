package sessionstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// A pod that has not heard of a write finds it by its version, and asks for one that nobody has written only once.
func TestGetAfter(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, pods := setup(t, 1, nil)
	a, deaf := pods[0], newPod(t, db, "deaf", nil)
	token, _ := login(t, a, "ann", nil)
	_, err := deaf.Get(ctx, token)
	require.NoError(t, err)
	deaf.halt()

	for i := range 20 {
		got, err := a.Update(ctx, token, func(c *cart) error { c.Note = fmt.Sprint(i); return nil })
		require.NoError(t, err)
		require.False(t, got.Receipt().IsZero())
		seen, err := deaf.GetAfter(ctx, token, got.Version)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), seen.Data.Note)
	}
}

func TestGetAfterAsksOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, nil)
	token, made := login(t, p, "ann", nil)
	for range 5 {
		_, err := p.GetAfter(ctx, token, made.Version)
		require.NoError(t, err)
	}

	before := p.Stats().Lookups

	for range 5 {
		_, err := p.GetAfter(ctx, token, 1000)
		require.NoError(t, err)
	}

	require.LessOrEqual(t, p.Stats().Lookups, before+1)
}

// What memory has is no reason not to write: light, dark, light on pods that have not heard of each other yet.
func TestUnchangedIsWhatTheDatabaseSays(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	token, _ := login(t, a, "ann", nil)
	_, err := a.Update(ctx, token, func(c *cart) error { c.Note = "light"; return nil })
	require.NoError(t, err)

	for i := range 100 {
		got, err := b.GetFresh(ctx, token)
		require.NoError(t, err)
		require.Equal(t, "light", got.Data.Note, i)
		_, err = a.Update(ctx, token, func(c *cart) error { c.Note = "dark"; return nil })
		require.NoError(t, err)
		_, err = b.Update(ctx, token, func(c *cart) error { c.Note = "light"; return nil })
		require.NoError(t, err)
	}
}

// Whoever rotates a token at the same time, and whoever does so again because the response was lost, gets a token that
// works; the old one works until the new one is used and its grace is over.
func TestRotateTogether(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]*config{"plain": {}, "encrypted": {Encrypt: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			_, pods := setup(t, 2, cfg)
			token, _ := login(t, pods[0], "ann", nil)
			fresh := map[string]int{}
			var mu sync.Mutex
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					got, _, err := pods[i%2].Rotate(ctx, token, sessionstore.Periodic(0))
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					fresh[got]++
				})
			}
			wg.Wait()
			require.Len(t, fresh, 1, "all are given the same")

			// The response was lost: long after the grace the old token works, and leads to the same new one.
			_, err := pods[0].pool.Exec(ctx, "UPDATE pgcoherence.session SET rotated_at = rotated_at - interval '10 minutes'")
			require.NoError(t, err)
			var next string
			for _, p := range pods {
				got, err := p.GetFresh(ctx, token)
				require.NoError(t, err)
				require.True(t, got.Replaced)
				next, _, err = p.Rotate(ctx, token, sessionstore.Periodic(time.Minute))
				require.NoError(t, err)
				require.Equal(t, 20, fresh[next])
			}

			// Its first use begins the grace.
			_, err = pods[1].Get(ctx, next)
			require.NoError(t, err)
			var left time.Duration
			require.NoError(t, pods[0].pool.QueryRow(ctx, "SELECT prev_until - clock_timestamp() FROM pgcoherence.session WHERE prev_grace IS NULL").Scan(&left))
			require.LessOrEqual(t, left, sessionstore.DefaultGrace)
			again, _, err := pods[0].Rotate(ctx, token, sessionstore.Periodic(time.Minute))
			require.NoError(t, err, "requests under way go on")
			require.Equal(t, next, again)
			_, err = pods[0].pool.Exec(ctx, "UPDATE pgcoherence.session SET prev_until = clock_timestamp()")
			require.NoError(t, err)
			_, err = pods[0].GetFresh(ctx, token)
			require.ErrorIs(t, err, sessionstore.ErrRotated)
			_, err = pods[0].GetFresh(ctx, next)
			require.NoError(t, err)
		})
	}
}

// A login with a token in its grace does not fail, and ends both tokens.
func TestLoginInGrace(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, &config{Encrypt: true})
	first, _ := login(t, p, "ann", nil)
	second, _, err := p.Rotate(ctx, first, sessionstore.Periodic(0))
	require.NoError(t, err)
	l, err := p.BeginLogin(ctx, "ann")
	require.NoError(t, err)
	third, got, err := p.Rotate(ctx, first, &sessionstore.RotateOptions{Login: l})
	require.NoError(t, err)
	require.Equal(t, 1, got.Data.Items["tea"])

	for _, token := range []string{first, second} {
		_, err = p.GetFresh(ctx, token)
		require.ErrorIs(t, err, sessionstore.ErrNotFound)
	}

	_, err = p.Get(ctx, third)
	require.NoError(t, err)
}

// RotateTx honours IfOlder, and gives the same token as another rotation that was faster.
func TestRotateTx(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, nil)
	token, _ := login(t, p, "ann", nil)
	rotate := func(ctx context.Context, o *sessionstore.RotateOptions) (next string) {
		tx, err := p.bus.Begin(ctx)
		require.NoError(t, err)
		next, _, err = p.RotateTx(ctx, tx, token, o)
		require.NoError(t, err)
		require.NoError(t, tx.Commit(ctx))
		return next
	}
	require.Equal(t, token, rotate(ctx, sessionstore.Periodic(time.Hour)))
	next := rotate(ctx, sessionstore.Periodic(0))
	require.NotEqual(t, token, next)
	require.Equal(t, next, rotate(ctx, sessionstore.Periodic(0)))
}
