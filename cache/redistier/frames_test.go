package redistier_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/cache/redistier"
)

// seeds are streams, good and bad.
var seeds = []string{
	"+OK\r\n", "-ERR x\r\n", ":1\r\n", "$5\r\nhello\r\n", "$0\r\n\r\n", "$-1\r\n", "*-1\r\n", "_\r\n", "#t\r\n", ",1.5\r\n",
	"(123\r\n", "=7\r\ntxt:abc\r\n", "!3\r\nERR\r\n", "~1\r\n+a\r\n", "*0\r\n", "%0\r\n", hello, "*2\r\n*1\r\n:1\r\n$1\r\na\r\n+x\r\n",
	"$-2\r\n", "*-2\r\n", "%-1\r\n", ">1\r\n+x\r\n", "|1\r\n+a\r\n+b\r\n", "$?\r\n", "#tt\r\n", "_x\r\n", "\r\n", "+\n", "$99999999999999\r\n",
	strings.Repeat("*1\r\n", 17),
}

func TestFrames(t *testing.T) {
	t.Parallel()

	for text, want := range map[string]int{
		"+OK\r\n": 1, "+OK\r\n:1\r\n": 2, "$5\r\nhel": 0, "$5\r\nhello\r\n": 1, "$2\r\n\r\n\r\n": 1, "$-1\r\n*-1\r\n_\r\n": 3,
		hello: 1, "*0\r\n%0\r\n": 2, "*2\r\n*2\r\n:1\r\n:2\r\n$-1\r\n+next\r\n": 2, strings.Repeat("*1\r\n", 16) + "+x\r\n": 1,
	} {
		n, err := redistier.NewFrames(1000).Feed([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, n, text)
	}

	for _, text := range []string{
		"$-2\r\n", "$1001\r\n", "$\r\n", "$x\r\n", "$1x\r\n", "*-2\r\n", "%-1\r\n", ">1\r\n", "|1\r\n", "$?\r\n", "*?\r\n", ".\r\n", ";1\r\n",
		"#tt\r\n", "#\r\n", "_x\r\n", "x\r\n", "\r\n", "+\n", "+a\n", "*65537\r\n", strings.Repeat("*1\r\n", 17), "+" + strings.Repeat("x", 70_000),
		"*1\r\n>1\r\n+x\r\n", "_ab", "#abc",
	} {
		_, err := redistier.NewFrames(1000).Feed([]byte(text))
		require.ErrorIs(t, err, redistier.ErrProtocol, "%.40q", text)
	}
}

// FuzzFrames: how a stream is cut makes no difference.
func FuzzFrames(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed), uint8(1))
	}
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		whole, pieces := redistier.NewFrames(1000), redistier.NewFrames(1000)
		want, wantErr := whole.Feed(stream)
		got := 0
		var err error
		for rest := stream; len(rest) > 0 && err == nil; {
			n := min(int(step)+1, len(rest))
			var complete int
			complete, err = pieces.Feed(rest[:n])
			got, rest = got+complete, rest[n:]
		}

		if wantErr == nil || err == nil {
			require.NoError(t, wantErr)
			require.NoError(t, err)
		}

		require.Equal(t, want, got)
	})
}

// FuzzAnswers: whatever comes back, nothing panics, and no call takes longer than it may.
func FuzzAnswers(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}

	var answer atomic.Pointer[[]byte]
	server := newPeer(f, func(conn net.Conn) {
		answering(func([]string) string { return string(*answer.Load()) })(conn)
	})
	f.Fuzz(func(t *testing.T, junk []byte) {
		junk = bytes.Clone(junk)
		answer.Store(&junk)
		tier, err := redistier.New(&redistier.Config{URL: server.url(), Logger: quiet, PoolSize: 1})
		require.NoError(t, err)
		defer tier.Close()

		for range 2 {
			for name, call := range calls(tier) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				begin := time.Now()
				_ = call(ctx)
				require.Less(t, time.Since(begin), patience, name)
				cancel()
			}
		}
	})
}
