package sessionstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// A session made on one pod is known on the other, and ended on one it is over on both.
func TestAcrossPods(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	token, made := login(t, a, "ann", &sessionstore.CreateOptions{Device: &sessionstore.Device{UserAgent: "test", IP: "192.0.2.1"}})

	for _, p := range pods {
		got, err := p.Get(ctx, token)
		require.NoError(t, err)
		require.Equal(t, made.Info, got.Info)
		require.Equal(t, 1, got.Data.Items["tea"])
		require.True(t, p.Cached(token))
	}
	got, err := a.Update(ctx, token, func(c *cart) error {
		c.Items["milk"] = 2
		return nil
	})
	require.NoError(t, err)
	require.EqualValues(t, 2, got.Version)
	storetest.Eventually(t, func() bool {
		got, err := b.Get(ctx, token)
		return err == nil && got.Data.Items["milk"] == 2
	}, "the other pod reads the new data")

	r, err := a.Revoke(ctx, token)
	confirmed(t, a, r, err)
	for _, p := range pods {
		_, err = p.Get(ctx, token)
		require.ErrorIs(t, err, sessionstore.ErrRevoked)
		require.ErrorIs(t, err, sessionstore.ErrNoSession)
	}
}
