package cachetest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/cache/cachetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryTierKeepsTheContract(t *testing.T) {
	t.Parallel()
	cachetest.TierContract(t, func() cache.Tier { return cachetest.NewMemoryTier() })
}

func TestMemoryTierKeepsTheContractOnOneStore(t *testing.T) {
	t.Parallel()
	m := cachetest.NewMemoryTier()
	cachetest.TierContract(t, func() cache.Tier { return open{m} })
}

// open hides Close.
type open struct{ cache.Tier }

// noted is a TB that remembers.
type noted struct {
	mu     sync.Mutex
	errors []string
}

func (*noted) Helper()                  {}
func (*noted) Cleanup(func())           {}
func (*noted) FailNow()                 {}
func (*noted) Context() context.Context { return context.Background() }
func (n *noted) Errorf(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.errors = append(n.errors, fmt.Sprintf(format, args...))
}

// faulty breaks one rule.
type faulty struct {
	*cachetest.MemoryTier
	get    func(m *cachetest.MemoryTier, ctx context.Context, key string) ([]byte, error)
	set    func(m *cachetest.MemoryTier, ctx context.Context, key string, value []byte, ttl time.Duration) error
	delete func(m *cachetest.MemoryTier, ctx context.Context, keys ...string) error
}

func (f faulty) Get(ctx context.Context, key string) ([]byte, error) {
	if f.get != nil {
		return f.get(f.MemoryTier, ctx, key)
	}
	return f.MemoryTier.Get(ctx, key)
}

func (f faulty) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if f.set != nil {
		return f.set(f.MemoryTier, ctx, key, value, ttl)
	}
	return f.MemoryTier.Set(ctx, key, value, ttl)
}

func (f faulty) Delete(ctx context.Context, keys ...string) error {
	if f.delete != nil {
		return f.delete(f.MemoryTier, ctx, keys...)
	}
	return f.MemoryTier.Delete(ctx, keys...)
}

// Every rule of the contract finds the tier that breaks it.
func TestContractFindsFaults(t *testing.T) {
	t.Parallel()
	for rule, f := range map[string]faulty{
		"absent is a miss": {get: func(m *cachetest.MemoryTier, ctx context.Context, key string) ([]byte, error) {
			value, err := m.Get(ctx, key)
			if errors.Is(err, cache.ErrTierMiss) {
				return nil, nil
			}
			return value, err
		}},
		"is overwritten": {set: func(m *cachetest.MemoryTier, ctx context.Context, key string, value []byte, ttl time.Duration) error {
			if _, err := m.Get(ctx, key); err == nil && !strings.Contains(key, "shared") {
				return nil
			}
			return m.Set(ctx, key, value, ttl)
		}},
		"any bytes": {set: func(m *cachetest.MemoryTier, ctx context.Context, key string, value []byte, ttl time.Duration) error {
			return m.Set(ctx, key, []byte(strings.ReplaceAll(string(value), "\x00", "")), ttl)
		}},
		"entries expire": {set: func(m *cachetest.MemoryTier, ctx context.Context, key string, value []byte, ttl time.Duration) error {
			if ttl > 0 && ttl < time.Second {
				ttl = time.Hour
			}
			return m.Set(ctx, key, value, ttl)
		}},
		"has to be positive": {set: func(m *cachetest.MemoryTier, ctx context.Context, key string, value []byte, ttl time.Duration) error {
			return m.Set(ctx, key, value, max(ttl, 1))
		}},
		"many keys": {delete: func(m *cachetest.MemoryTier, ctx context.Context, keys ...string) error {
			return m.Delete(ctx, keys[:min(len(keys), 1000)]...)
		}},
		"ended context": {get: func(m *cachetest.MemoryTier, ctx context.Context, key string) ([]byte, error) {
			return m.Get(context.WithoutCancel(ctx), key)
		}},
		"after Close": {get: func(m *cachetest.MemoryTier, ctx context.Context, key string) ([]byte, error) {
			value, err := m.Get(ctx, key)
			if errors.Is(err, cachetest.ErrClosed) {
				return nil, cache.ErrTierMiss
			}
			return value, err
		}},
	} {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // waiting for what never expires takes no time
				var n noted
				cachetest.TierContract(&n, func() cache.Tier {
					f := f
					f.MemoryTier = cachetest.NewMemoryTier()
					return f
				})
				require.Contains(t, strings.Join(n.errors, "\n"), rule)
			})
		})
	}
}

func TestMemoryTierFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := cachetest.NewMemoryTier()
		require.NoError(t, m.Set(t.Context(), "a", []byte("1"), time.Minute))
		require.Equal(t, 1, m.Len())

		broken := errors.New("broken")
		m.Fail(broken)
		_, err := m.Get(t.Context(), "a")
		require.ErrorIs(t, err, broken)
		require.ErrorIs(t, m.Delete(t.Context(), "a"), broken)
		m.Fail(nil)

		m.Delay(time.Second)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err = m.Get(ctx, "a")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 100*time.Millisecond, time.Since(begin))
		m.Delay(0)

		value, err := m.Get(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, "1", string(value))
		time.Sleep(time.Minute)
		_, err = m.Get(t.Context(), "a")
		require.ErrorIs(t, err, cache.ErrTierMiss)

		require.NoError(t, m.Set(t.Context(), "a", []byte("1"), time.Minute))
		m.Flush()
		require.Zero(t, m.Len())
	})
}
