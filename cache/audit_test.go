package cache_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/cache"
)

// audited runs an audit in a bubble until the test's end.
func audited(t *testing.T, rows cache.Loader[string, int], change func(*cache.Config[string, int])) (*fake, *cache.Cache[string, int], *[]cache.Finding) {
	t.Helper()
	var findings []cache.Finding
	cfg := config()
	cfg.TTL = cache.Forever
	cfg.Audit = &cache.AuditConfig[int]{Rate: 10, OnStale: func(f cache.Finding) { findings = append(findings, f) }}
	if change != nil {
		change(cfg)
	}

	b := newFake()
	c := open(t, b, rows, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.RunAudit(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return b, c, &findings
}

func TestAudit_CountsWhatStaysWrong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rows := newTable()
		rows.set("secret-key", 1)
		rows.set("fine", 1)
		var log bytes.Buffer
		b, c, findings := audited(t, rows, func(cfg *cache.Config[string, int]) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		b.key(200, "secret-key")
		get(t, c, "secret-key")
		get(t, c, "fine")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Empty(t, *findings)
		require.Positive(t, c.Stats().Audit.Checks)

		rows.set("secret-key", 2) // a writer that says nothing
		time.Sleep(70 * time.Second)
		synctest.Wait()
		s := c.Stats().Audit
		require.Positive(t, s.Stale[time.Second])
		require.Positive(t, s.Stale[10*time.Second])
		require.Positive(t, s.Stale[time.Minute])
		require.NotEmpty(t, *findings)
		f := (*findings)[0]
		require.Equal(t, "item", f.Topic)
		require.Equal(t, time.Second, f.Bound)
		require.Equal(t, []uint64{200}, f.XIDs)
		require.False(t, f.Invalidated.IsZero())
		require.NotContains(t, log.String(), "secret-key")
		require.Contains(t, log.String(), f.KeyHash)

		n := len(*findings)
		b.key(300, "secret-key")
		get(t, c, "secret-key")
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, *findings, n, "it is right again")
	})
}

// What differs only for a moment, or is replaced, or could not be served, is no finding.
func TestAudit_CountsNothingElse(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*fake, *table, *cache.Cache[string, int]){
		"event a little late": func(b *fake, rows *table, _ *cache.Cache[string, int]) {
			rows.set("a", 2)
			time.Sleep(900 * time.Millisecond)
			b.key(200, "a")
		},
		"changed back": func(_ *fake, rows *table, _ *cache.Cache[string, int]) {
			rows.set("a", 2)
			time.Sleep(900 * time.Millisecond)
			rows.set("a", 1)
		},
		"replaced by the same value": func(b *fake, rows *table, c *cache.Cache[string, int]) {
			rows.set("a", 2)
			time.Sleep(500 * time.Millisecond)
			rows.set("a", 1)
			_, _ = c.GetFresh(context.Background(), "a")
			b.key(200, "a")
		},
		"not fresh": func(b *fake, rows *table, _ *cache.Cache[string, int]) {
			stale(b, time.Hour)
			rows.set("a", 2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rows := newTable()
				rows.set("a", 1)
				b, c, findings := audited(t, rows, nil)
				get(t, c, "a")
				change(b, rows, c)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				require.Empty(t, *findings)
			})
		})
	}
}

func TestAudit_LoaderThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mode atomic.Int32
		_, c, findings := audited(t, cache.Func(func(context.Context, string) (int, error) {
			switch mode.Load() {
			case 1:
				return 0, errors.New("broken")
			case 2:
				panic("broken")
			}
			return 1, nil
		}), nil)
		get(t, c, "a")

		for _, m := range []int32{1, 2} {
			mode.Store(m)
			time.Sleep(5 * time.Second)
		}

		synctest.Wait()
		require.Empty(t, *findings)
		require.Positive(t, c.Stats().Audit.Skipped)
	})
}

func TestAudit_RowThatIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rows := newTable()
		rows.set("a", 1)
		_, c, findings := audited(t, rows, func(cfg *cache.Config[string, int]) {
			cfg.Tier = newTier() // then values are compared by their bytes
		})
		get(t, c, "a")
		rows.remove("a")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.NotEmpty(t, *findings)
	})
}

func TestAudit_OwnEqual(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rows := newTable()
		rows.set("a", 1)
		_, c, findings := audited(t, rows, func(cfg *cache.Config[string, int]) {
			cfg.Audit.Equal = func(a, b int) bool { return a%10 == b%10 }
		})
		get(t, c, "a")
		rows.set("a", 11)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Empty(t, *findings)
	})
}

func TestAudit_MustBeAskedForAndRunsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, newFake(), newTable(), config())
		require.ErrorIs(t, c.RunAudit(t.Context()), cache.ErrNoAudit)
		_, c, _ = audited(t, newTable(), nil)
		synctest.Wait()
		require.ErrorIs(t, c.RunAudit(t.Context()), cache.ErrNoAudit)
	})
}
