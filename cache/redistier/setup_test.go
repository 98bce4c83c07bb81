package redistier_test

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/cache/redistier"
	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
)

var (
	shared   redistest.Shared
	prefixes atomic.Int64
)

func TestMain(m *testing.M) {
	// A cluster client that is closed leaves a goroutine that sleeps for up to a second before it notices.
	goleak.VerifyTestMain(shared.Main(m), goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

// quiet keeps expected warnings out of the test's output.
var quiet = slog.New(slog.DiscardHandler)

// patience bounds every wait of a test: only a failure reaches it.
const patience = 30 * time.Second

// prefix is a key prefix that nobody else has.
func prefix() string { return "test" + strconv.FormatInt(prefixes.Add(1), 10) + ":" }

// setup is a tier on the server that all tests share.
func setup(t testing.TB, cfg redistier.Config) *redistier.Tier {
	t.Helper()
	cfg.URL = shared.Server(t).URL()
	return open(t, cfg)
}

func open(t testing.TB, cfg redistier.Config) *redistier.Tier {
	t.Helper()
	if cfg.KeyPrefix == "" {
		cfg.KeyPrefix = prefix()
	}
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	tier, err := redistier.New(&cfg)
	require.NoError(t, err)
	t.Cleanup(tier.Close)
	return tier
}

// within is a context that a call has to keep to.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// recovers waits until a tier works, as callers with short deadlines would.
func recovers(t testing.TB, tier *redistier.Tier) {
	t.Helper()

	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return tier.Set(ctx, "recovered", []byte("yes"), time.Hour) == nil
	}, patience, 5*time.Millisecond)

	require.Eventually(t, func() bool { // on every connection, not only that of the key
		for i := range 8 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := tier.Set(ctx, strconv.Itoa(i), []byte("yes"), time.Hour)
			cancel()
			if err != nil {
				return false
			}
		}
		return true
	}, patience, 5*time.Millisecond)
}

// returns calls f, and fails if it takes far longer than its context lasts: for ever, in most faults.
func returns(t testing.TB, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		require.FailNow(t, "a call does not keep to its context")
		return nil
	}
}
