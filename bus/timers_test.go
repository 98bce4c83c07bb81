package bus_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// onFake runs a bus with default timings on a fake server, in a bubble where time passes as fast as nobody works.
func onFake(t *testing.T, change func(*bus.Config), f func(t *testing.T, s *fakeServer, b *bus.Postgres, log *logBuffer)) {
	t.Helper()
	pool := lazyPool(t)
	synctest.Test(t, func(t *testing.T) {
		s, log := newFakeServer(), &logBuffer{}
		cfg := &bus.Config{Connect: s.connect, Logger: slog.New(slog.NewTextHandler(log, nil))}
		if change != nil {
			change(cfg)
		}
		b, err := bus.NewPostgres(pool, cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		f(t, s, b, log)
		begin := time.Now()
		cancel()
		require.NoError(t, <-done)
		require.LessOrEqual(t, time.Since(begin), 10*time.Second, "Run ends within a bound, whatever the database does")
	})
}

// TestHourIdle: beats, sweeps and marks keep their intervals, and the pod is fresh at every moment.
func TestHourIdle(t *testing.T) {
	t.Parallel()
	onFake(t, nil, func(t *testing.T, s *fakeServer, b *bus.Postgres, log *logBuffer) {
		<-b.Ready()
		before := b.Stats()
		for range 3600 {
			time.Sleep(time.Second)
			require.True(t, b.Fresh())
			require.Equal(t, bus.Live, b.State())
			require.Less(t, b.Stats().FreshAge, 1500*time.Millisecond, "a beat and the mark that proves it")
		}
		after := b.Stats()
		require.InDelta(t, 3600, after.Beats-before.Beats, 5)
		require.InDelta(t, 36000, after.Sweeps-before.Sweeps, 2000)
		require.LessOrEqual(t, after.Marks-before.Marks, int64(5*3600))
		require.EqualValues(t, 2, s.dials.Load())
		require.Zero(t, after.Gaps-before.Gaps)
		require.Less(t, log.count("\n"), 20, "an hour in which nothing happens is no news")
	})
}

// TestDeafListener: LISTEN is swallowed. The pod polls within ProbeTimeout of the first beat without proof, never stops
// being fresh, says so once, tries again, and is live when notifications arrive again.
func TestDeafListener(t *testing.T) {
	t.Parallel()
	onFake(t, nil, func(t *testing.T, s *fakeServer, b *bus.Postgres, log *logBuffer) {
		<-b.Ready()
		time.Sleep(10 * time.Second)
		s.set(func() { s.deaf = true })
		time.Sleep(bus.DefaultBeatInterval + bus.DefaultProbeTimeout + 500*time.Millisecond)
		require.Equal(t, bus.Polling, b.State())
		dials := s.dials.Load()
		for range 900 {
			time.Sleep(time.Second)
			require.True(t, b.Fresh())
		}
		require.Equal(t, 1, log.count("notifications do not arrive"))
		attempts := s.dials.Load() - dials
		require.Greater(t, attempts, int64(250), "it goes on trying to listen")
		require.Less(t, attempts, int64(500), "every two or three seconds")
		s.set(func() { s.deaf = false })
		time.Sleep(5 * time.Second)
		require.Equal(t, bus.Live, b.State())
	})
}

// TestBlackHole: nothing is answered any more, on no connection. Trust ends StaleAfter after the last proof, new
// connections are tried all the time, and some seconds after the network is back all is well.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	onFake(t, nil, func(t *testing.T, s *fakeServer, b *bus.Postgres, log *logBuffer) {
		<-b.Ready()
		for range 5 {
			time.Sleep(7 * time.Second)
			s.set(func() { s.swallow = true })
			begin := time.Now()
			for b.Fresh() {
				time.Sleep(time.Millisecond)
			}
			require.LessOrEqual(t, time.Since(begin), bus.DefaultStaleAfter+time.Millisecond)
			time.Sleep(10 * time.Minute)
			require.False(t, b.Fresh())
			require.Equal(t, bus.Stale, b.State())
			s.set(func() { s.swallow = false })
			begin = time.Now()
			for b.State() != bus.Live && time.Since(begin) < time.Minute {
				time.Sleep(time.Millisecond)
			}
			require.LessOrEqual(t, time.Since(begin), 10*time.Second)
		}
		require.Less(t, s.dials.Load(), int64(5*10*60*2*2), "patience grows with every attempt that hangs")
	})
}

// TestRefused: the server is away for two hours. Attempts are spread over the whole interval, the log stays readable, and
// the bus is back within a second.
func TestRefused(t *testing.T) {
	t.Parallel()
	onFake(t, nil, func(t *testing.T, s *fakeServer, b *bus.Postgres, log *logBuffer) {
		<-b.Ready()
		s.set(func() {
			s.refuse, s.swallow = true, true
			for l := range s.listeners {
				_ = l.net.Close()
			}
		})
		time.Sleep(2 * time.Hour)
		require.Less(t, log.count("\n"), 2*2*60*3, "about one line a minute for each connection")
		attempts := s.dials.Load()
		require.Less(t, attempts, int64(2*2*3600*4))
		require.Greater(t, attempts, int64(2*3600), "but it never gives up")
		s.set(func() { s.refuse, s.swallow = false, false })
		begin := time.Now()
		for (b.State() != bus.Live || !b.Fresh()) && time.Since(begin) < time.Minute {
			time.Sleep(time.Millisecond)
		}
		require.LessOrEqual(t, time.Since(begin), time.Second, "under a second after the server accepts connections again")
	})
}

// TestNewEpochIsNoticed: the log begins anew without any connection being lost. The next beat tells.
func TestNewEpochIsNoticed(t *testing.T) {
	t.Parallel()
	onFake(t, nil, func(t *testing.T, s *fakeServer, b *bus.Postgres, _ *logBuffer) {
		seen := &recorder{}
		defer b.Subscribe("item", seen)()
		<-b.Ready()
		time.Sleep(time.Minute)
		s.set(func() { s.epoch = "e2/1/1/1/1/0" })
		time.Sleep(bus.DefaultBeatInterval + 200*time.Millisecond)
		require.Equal(t, []bus.Reason{bus.ReasonStart, bus.ReasonEpoch}, seen.reasons())
		require.True(t, b.Fresh())
	})
}
