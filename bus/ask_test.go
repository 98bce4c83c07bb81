package bus_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// correspondent is what the live page uses to ask other pods.
func correspondent(t *testing.T, p *pod) hook.Correspondent {
	t.Helper()
	c, ok := hook.SourceOf(p.Postgres).(hook.Correspondent)
	require.True(t, ok)
	return c
}

// TestAsk: pods reply to what they are asked, those that do not are missing, and nothing is left behind.
func TestAsk(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	a, b, c := start(t, pool, quick("a")), start(t, pool, quick("b")), start(t, pool, quick("c"))
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(stop)
	for _, p := range []*pod{a, b} { // c does not answer
		wg.Go(func() {
			correspondent(t, p).Answer(ctx, func(_ context.Context, question string) string { return p.ID() + " to " + question })
		})
	}

	asking := correspondent(t, c)
	ask := func(patience time.Duration, pods ...string) map[string]string {
		limited, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		replies, err := asking.Ask(limited, "how are you?", pods)
		require.NoError(t, err)
		return replies
	}
	eventually(t, func() bool { return len(ask(time.Second, a.ID(), b.ID())) == 2 }, "both have begun to answer")
	replies := ask(time.Minute, a.ID(), b.ID())
	require.Equal(t, map[string]string{a.ID(): a.ID() + " to how are you?", b.ID(): b.ID() + " to how are you?"}, replies)
	require.Equal(t, map[string]string{b.ID(): b.ID() + " to how are you?"}, ask(time.Minute, b.ID()), "only who was asked")
	require.Len(t, ask(300*time.Millisecond, a.ID(), c.ID(), uuid.NewString()), 1, "one does not answer, and one is not there")

	eventually(t, func() bool {
		var left int
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM pgcoherence.pod_question) + (SELECT count(*) FROM pgcoherence.pod_reply)").Scan(&left))
		return left == 0
	}, "whoever asks takes the question back")

	_, err := asking.Ask(t.Context(), strings.Repeat("x", 20_000), []string{a.ID()})
	require.ErrorContains(t, err, "pod_question")
	require.True(t, a.Fresh(), "questions do not hold a pod up")
}

// TestAskSlow: an answer that takes long does not keep the pod from moving on.
func TestAskSlow(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	a := start(t, pool, quick("a"))
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(stop)

	asked := make(chan struct{}, 100)
	wg.Go(func() {
		correspondent(t, a).Answer(ctx, func(ctx context.Context, _ string) string {
			asked <- struct{}{}
			<-ctx.Done()
			return ""
		})
	})

	eventually(t, func() bool {
		limited, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := correspondent(t, a).Ask(limited, "?", []string{a.ID()})
		require.NoError(t, err)
		return len(asked) > 0
	}, "the question arrives")

	publish(t, a, "1")
	eventually(t, func() bool { return a.has("1") }, "events go on")
	require.True(t, a.Fresh())
}
