package sessionstore_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// Of a hundred who try to take a value on three pods, one gets it.
func TestOneTimeOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 3, &config{Encrypt: true})
	value, err := pods[0].PutOneTime(ctx, "state", []byte("verifier"), &sessionstore.OneTimeOptions{Binding: "cookie"})
	require.NoError(t, err)
	var column []byte
	require.NoError(t, pods[0].pool.QueryRow(ctx, "SELECT data FROM pgcoherence.one_time").Scan(&column))
	require.NotContains(t, string(column), "verifier", "encrypted")
	var got, missed atomic.Int64
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			data, err := pods[i%3].TakeOneTime(ctx, "state", value, "cookie")
			switch {
			case err == nil && string(data) == "verifier":
				got.Add(1)
			case errors.Is(err, sessionstore.ErrNotFound):
				missed.Add(1)
			default:
				t.Error(err)
			}
		})
	}

	wg.Wait()
	require.EqualValues(t, 1, got.Load())
	require.EqualValues(t, 99, missed.Load())
}

func TestOneTime(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, p := one(t, nil)
	put := func(o *sessionstore.OneTimeOptions) string {
		value, err := p.PutOneTime(ctx, "reset", []byte("ann"), o)
		require.NoError(t, err)
		return value
	}
	value := put(nil)
	_, err := p.TakeOneTime(ctx, "state", value, "")
	require.ErrorIs(t, err, sessionstore.ErrNotFound, "another kind")
	data, err := p.TakeOneTime(ctx, "reset", value, "whatever")
	require.NoError(t, err, "it is bound to nobody")
	require.Equal(t, "ann", string(data))

	value = put(&sessionstore.OneTimeOptions{Binding: "mine"})
	_, err = p.TakeOneTime(ctx, "reset", value, "theirs")
	require.ErrorIs(t, err, sessionstore.ErrBinding)
	_, err = p.TakeOneTime(ctx, "reset", value, "mine")
	require.ErrorIs(t, err, sessionstore.ErrNotFound, "used up")
	_, err = p.TakeOneTime(ctx, "reset", put(&sessionstore.OneTimeOptions{Binding: "mine"}), "")
	require.ErrorIs(t, err, sessionstore.ErrBinding)

	value = put(&sessionstore.OneTimeOptions{TTL: time.Millisecond})
	_, err = p.pool.Exec(ctx, "UPDATE pgcoherence.one_time SET expires_at = clock_timestamp() - interval '1 second'")
	require.NoError(t, err)
	_, err = p.TakeOneTime(ctx, "reset", value, "")
	require.ErrorIs(t, err, sessionstore.ErrExpired)

	// A transaction that is rolled back has taken nothing.
	value = put(nil)
	tx := begin(t, p.pool)
	_, err = p.TakeOneTimeTx(ctx, tx, "reset", value, "")
	require.NoError(t, err)
	require.NoError(t, tx.Rollback(ctx))
	_, err = p.TakeOneTime(ctx, "reset", value, "")
	require.NoError(t, err)

	for _, bad := range []string{"", "short", value + "x", value[:42] + "\n"} {
		_, err = p.TakeOneTime(ctx, "reset", bad, "")
		require.ErrorIs(t, err, sessionstore.ErrMalformed)
	}
	_, err = p.PutOneTime(ctx, "", nil, nil)
	require.ErrorIs(t, err, sessionstore.ErrInvalid)
	_, err = p.PutOneTime(ctx, "k", make([]byte, sessionstore.DefaultMaxData+1), nil)
	require.ErrorIs(t, err, sessionstore.ErrTooLarge)
	_, err = p.PutOneTime(ctx, "k", nil, &sessionstore.OneTimeOptions{TTL: -1})
	require.ErrorIs(t, err, sessionstore.ErrInvalid)
	value, err = p.PutOneTime(ctx, "k", nil, nil)
	require.NoError(t, err)
	data, err = p.TakeOneTime(ctx, "k", value, "")
	require.NoError(t, err)
	require.Empty(t, data)
}
