package elapsed_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
)

func TestBetween(t *testing.T) {
	t.Parallel()
	now := time.Now()
	require.Equal(t, time.Second, elapsed.Between(now.Add(-time.Second), now))
	require.Equal(t, time.Hour, elapsed.Between(now.Round(0).Add(-time.Hour), now), "a reading of the wall clock alone")
	require.Equal(t, -time.Second, elapsed.Between(now.Add(time.Second), now))
}
