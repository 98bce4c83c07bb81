package redistier_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/cache/redistier"
	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
)

// calls are all that a tier can do, with a deadline.
func calls(tier *redistier.Tier) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"get":    func(ctx context.Context) error { _, err := tier.Get(ctx, "k"); return err },
		"set":    func(ctx context.Context) error { return tier.Set(ctx, "k", []byte("v"), time.Hour) },
		"delete": func(ctx context.Context) error { return tier.Delete(ctx, "k", "k2") },
		"ping":   tier.Ping,
	}
}

func requireAllFail(t *testing.T, tier *redistier.Tier) {
	t.Helper()
	for name, call := range calls(tier) {
		ctx := within(t, 50*time.Millisecond)
		err := returns(t, func() error { return call(ctx) })
		require.Error(t, err, name)
		require.NotErrorIs(t, err, cache.ErrTierMiss, name)
	}
}

// A port that refuses: errors at once, and recovery when a server comes up there.
func TestRefusedConnections(t *testing.T) {
	t.Parallel()
	server := redistest.New(t, &redistest.Config{TCP: true})
	tier := open(t, redistier.Config{URL: server.URL(), PoolSize: 2})
	server.Stop()
	requireAllFail(t, tier)
	require.Eventually(t, func() bool { // between two attempts nobody waits
		err := tier.Ping(t.Context())
		require.Error(t, err)
		return strings.Contains(err.Error(), "no connection") && strings.Contains(err.Error(), "refused")
	}, patience, time.Millisecond)
	require.NoError(t, server.Restart(t.Context()))
	recovers(t, tier)
}

// A listener that accepts and never answers: every caller leaves when its context says, one connection is tried at a
// time, and a caller whose deadline is far sees the dial's timeout.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	hole := newPeer(t, silent)
	tier := open(t, redistier.Config{URL: hole.url(), DialTimeout: 300 * time.Millisecond, PoolSize: 4})
	requireAllFail(t, tier)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			_, _ = tier.Get(ctx, "k")
		})
	}
	require.NoError(t, returns(t, func() error { all.Wait(); return nil }))
	require.LessOrEqual(t, hole.accepted(), 4, "callers do not pile up connections")

	canceled, cancel := context.WithCancel(t.Context())
	go cancel()
	err := returns(t, func() error { return tier.Ping(canceled) })
	require.Error(t, err)
	require.Error(t, returns(t, func() error { return tier.Ping(context.Background()) }))
}

// A server that stops answering in the middle: the same, and a connection that owes answers is given up.
func TestFrozen(t *testing.T) {
	t.Parallel()
	server := redistest.New(t, nil)
	tier := open(t, redistier.Config{URL: server.URL(), PoolSize: 2, ReadTimeout: 500 * time.Millisecond})
	recovers(t, tier)
	require.NoError(t, server.Freeze())
	for name, call := range calls(tier) {
		ctx := within(t, 20*time.Millisecond)
		require.ErrorIs(t, returns(t, func() error { return call(ctx) }), context.DeadlineExceeded, name)
	}
	canceled, cancel := context.WithCancel(t.Context())
	go cancel()
	require.ErrorIs(t, returns(t, func() error { return tier.Ping(canceled) }), context.Canceled)
	require.Error(t, returns(t, func() error { return tier.Ping(context.Background()) }), "ReadTimeout bounds it")

	// More callers than a connection has room for.
	var all sync.WaitGroup
	for range 3000 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, _ = tier.Get(ctx, "k")
		})
	}
	require.NoError(t, returns(t, func() error { all.Wait(); return nil }))
	require.NoError(t, server.Thaw())
	recovers(t, tier)
}

// Redis comes back empty, at the same address: what was lost is a miss, and all goes on.
func TestRestartedEmpty(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]*redistest.Config{"socket": nil, "port": {TCP: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.New(t, cfg)
			tier := open(t, redistier.Config{URL: server.URL(), PoolSize: 3})
			require.NoError(t, tier.Set(t.Context(), "k", []byte("v"), time.Hour))

			for range 3 {
				require.NoError(t, server.Restart(t.Context()))
				recovers(t, tier)
				_, err := tier.Get(t.Context(), "k")
				require.ErrorIs(t, err, cache.ErrTierMiss)
				require.NoError(t, tier.Set(t.Context(), "k", []byte("v"), time.Hour))
			}
		})
	}
}

// A replica is read and refuses to be written. The tier hangs up then, because the name that led there may lead to the
// primary by now.
func TestReplica(t *testing.T) {
	t.Parallel()
	primary := redistest.New(t, &redistest.Config{TCP: true})
	replica := redistest.New(t, &redistest.Config{ReplicaOf: primary})
	p := prefix()
	writer := open(t, redistier.Config{URL: primary.URL(), KeyPrefix: p})
	tier := open(t, redistier.Config{URL: replica.URL(), KeyPrefix: p, PoolSize: 1})
	require.NoError(t, writer.Set(t.Context(), "k", []byte("v"), time.Hour))
	require.Eventually(t, func() bool {
		value, err := tier.Get(t.Context(), "k")
		return err == nil && string(value) == "v"
	}, patience, 5*time.Millisecond)
	require.ErrorContains(t, tier.Set(t.Context(), "k", []byte("w"), time.Hour), "READONLY")
	require.ErrorContains(t, tier.Delete(t.Context(), "k"), "READONLY")

	received := func() (n int) {
		lines, err := replica.Lines(t.Context(), "INFO", "stats")
		require.NoError(t, err)
		for _, line := range lines {
			if count, ok := strings.CutPrefix(line, "total_connections_received:"); ok {
				n, err = strconv.Atoi(count)
				require.NoError(t, err)
			}
		}
		return n
	}
	require.Eventually(t, func() bool {
		before := received()
		require.Error(t, tier.Set(t.Context(), "k", []byte("w"), time.Hour))
		_, err := tier.Get(t.Context(), "k")
		return received() > before+1 || err != nil // one is that which counts
	}, patience, 100*time.Millisecond, "hung up")

	_, err := replica.Do(t.Context(), "REPLICAOF", "NO", "ONE")
	require.NoError(t, err)
	recovers(t, tier)
}

// Whatever a server answers, there is an error or a value, and no panic.
func TestJunk(t *testing.T) {
	t.Parallel()
	for name, junk := range map[string]string{
		"http":               "HTTP/1.1 400 Bad Request\r\n\r\n",
		"ssh":                "SSH-2.0-OpenSSH_9.2\r\n",
		"zeros":              strings.Repeat("\x00", 1000),
		"newlines":           "\n\n\n\n\r\n",
		"negative length":    "$-2\r\n",
		"long length":        "$4611686018427387904\r\n",
		"overflowing length": "$99999999999999999999999\r\n",
		"negative array":     "*-7\r\n",
		"long array":         "*2000000000\r\n",
		"negative map":       "%-1\r\n",
		"deep":               strings.Repeat("*1\r\n", 100_000),
		"deep maps":          strings.Repeat("%1\r\n+a\r\n", 100_000),
		"push":               ">2\r\n+message\r\n+x\r\n",
		"subscribed":         ">3\r\n+subscribe\r\n+x\r\n:1\r\n",
		"inner push":         "*1\r\n>1\r\n+x\r\n",
		"invalidation":       ">2\r\n+invalidate\r\n*1\r\n+x\r\n",
		"attribute":          "|1\r\n+a\r\n+b\r\n",
		"streamed":           "$?\r\n;4\r\nabcd\r\n;0\r\n",
		"long line":          "+" + strings.Repeat("x", 1<<20),
		"two answers":        "$1\r\na\r\n$1\r\nb\r\n",
		"many answers":       strings.Repeat("+PONG\r\n", 1000),
		"not a string":       ":42\r\n",
		"array":              "*2\r\n$1\r\na\r\n$1\r\nb\r\n",
		"error":              "-ERR no\r\n",
		"loading":            "-LOADING Redis is loading the dataset in memory\r\n",
		"cluster down":       "-CLUSTERDOWN The cluster is down\r\n",
		"moved":              "-MOVED 1 127.0.0.1:1\r\n",
		"moved nowhere":      "-MOVED \r\n",
		"empty error":        "-\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for when, serve := range map[string]func(net.Conn){
				"at once": func(conn net.Conn) { _, _ = io.WriteString(conn, junk); silent(conn) },
				"to hello": func(conn net.Conn) {
					_, _ = conn.Read(make([]byte, 1000))
					_, _ = io.WriteString(conn, junk)
					silent(conn)
				},
				"to commands": answering(func([]string) string { return junk }),
			} {
				bad := newPeer(t, serve)
				tier := open(t, redistier.Config{URL: bad.url(), DialTimeout: time.Second, ReadTimeout: time.Second, PoolSize: 1})
				for range 3 {
					for call, f := range calls(tier) {
						ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
						err := returns(t, func() error { return f(ctx) })
						cancel()
						if call != "delete" || name != "not a string" { // a number is what that is answered with
							require.Error(t, err, "%s, %s", when, call)
						}
					}
				}

				tier.Close()
			}
		})
	}
}

// A constant of rueidis must not come back as a value that can be written to.
func TestSimpleOK(t *testing.T) {
	t.Parallel()
	bad := newPeer(t, answering(func([]string) string { return "+OK\r\n" }))
	tier := open(t, redistier.Config{URL: bad.url()})
	value, err := tier.Get(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, "OK", string(value))
	value[0] = 'x' // faults, if it is the constant
}

// The answers of calls that gave up do not become those of later calls.
func TestLateAnswers(t *testing.T) {
	t.Parallel()
	var slow atomic.Bool
	release := make(chan struct{})
	server := newPeer(t, answering(func(words []string) string {
		if slow.CompareAndSwap(true, false) {
			<-release
		}
		return fmt.Sprintf("$%d\r\n%s\r\n", len(words[1]), words[1])
	}))
	tier := open(t, redistier.Config{URL: server.url(), PoolSize: 1, KeyPrefix: "p:"})
	_, err := tier.Get(t.Context(), "first")
	require.NoError(t, err)
	slow.Store(true)
	_, err = tier.Get(within(t, 20*time.Millisecond), "late")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	close(release)

	for i := range 10 {
		key := fmt.Sprint(i)
		value, err := tier.Get(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, "p:"+key, string(value))
	}

	require.Equal(t, 1, server.accepted(), "the connection was kept")
}
