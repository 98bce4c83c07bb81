package main

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// TestOutcomes: a short run comes to every outcome, and equal seeds to equal ones.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	var a, b counts
	require.NoError(t, work(t.Context(), 7, 50_000, &a))
	require.NoError(t, work(t.Context(), 7, 50_000, &b))
	require.EqualValues(t, 50_000, a.sum())
	for i := range a {
		require.Positive(t, a[i].Load(), outcomeNames[i])
		require.Equal(t, a[i].Load(), b[i].Load(), outcomeNames[i])
	}
}

// TestJudge: what must not be is an error.
func TestJudge(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]func() (int, error){
		"changed and accepted": func() (int, error) { return judge(&wire.Message{}, nil, false, false) },
		"both":                 func() (int, error) { return judge(&wire.Message{}, wire.ErrMAC, false, false) },
		"neither":              func() (int, error) { return judge(nil, nil, true, false) },
		"another error":        func() (int, error) { return judge(nil, errors.New("boom"), true, false) },
	} {
		_, err := bad()
		require.Error(t, err, name)
	}
}
