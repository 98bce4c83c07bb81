package sessionstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/storetest"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

func TestRemember(t *testing.T) {
	t.Parallel()
	_, pods := setup(t, 2, nil)
	a, b := pods[0], pods[1]
	require.NoError(t, a.Remember(t.Context(), "logout", "1", time.Hour))
	require.NoError(t, a.Remember(t.Context(), "logout", "1", time.Second), "again, and for no less")
	for id, want := range map[string]bool{"1": true, "2": false, "1 ": false} {
		known, err := b.Remembers(t.Context(), "logout", id)
		require.NoError(t, err)
		require.Equal(t, want, known, id)
	}
	known, err := b.Remembers(t.Context(), "other", "1")
	require.NoError(t, err)
	require.False(t, known)

	require.NoError(t, a.Remember(t.Context(), "logout", "short", 20*time.Millisecond))
	storetest.Eventually(t, func() bool {
		known, err := b.Remembers(t.Context(), "logout", "short")
		return err == nil && !known
	}, "it is forgotten")

	for _, kind := range []string{"", strings.Repeat("x", 101)} {
		require.ErrorIs(t, a.Remember(t.Context(), kind, "1", time.Hour), sessionstore.ErrInvalid)
	}
	require.ErrorIs(t, a.Remember(t.Context(), "logout", "", time.Hour), sessionstore.ErrInvalid)
	require.ErrorIs(t, a.Remember(t.Context(), "logout", "1", 0), sessionstore.ErrInvalid)
	_, err = a.Remembers(t.Context(), "", "1")
	require.ErrorIs(t, err, sessionstore.ErrInvalid)
}
