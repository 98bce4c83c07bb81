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
	onFakeOf(t, 1, change, f)
}

// onFakeOf is onFake with so many pods in the table when the bus starts, itself included.
func onFakeOf(
	t *testing.T, pods int, change func(*bus.Config), f func(t *testing.T, s *fakeServer, b *bus.Postgres, log *logBuffer),
) {
	t.Helper()
	pool := lazyPool(t)
	synctest.Test(t, func(t *testing.T) {
		s, log := newFakeServer(), &logBuffer{}
		s.pods = pods
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

		require.Equal(t, 1, log.count("notifications not received"))
		attempts := s.dials.Load() - dials
		require.Greater(t, attempts, int64(250), "it goes on trying to listen")
		require.Less(t, attempts, int64(500), "every two or three seconds")
		s.set(func() { s.deaf = false })
		time.Sleep(5 * time.Second)
		require.Equal(t, bus.Live, b.State())
	})
}

// TestDeafListenerHearsAgain: however long it was deaf, and however patient the pod is with a server that it cannot reach, a
// pod that reaches its server is live soon after notifications arrive again. A new connection is given the time to be heard
// through before it is ended, even if it took long to be made.
func TestDeafListenerHearsAgain(t *testing.T) {
	t.Parallel()
	for _, mode := range []bus.Mode{bus.Auto, bus.Listen} {
		for _, probe := range []time.Duration{100 * time.Millisecond, time.Second} {
			change := func(c *bus.Config) { c.Mode, c.ProbeTimeout, c.MaxBackoff = mode, probe, time.Minute }
			onFake(t, change, func(t *testing.T, s *fakeServer, b *bus.Postgres, _ *logBuffer) {
				<-b.Ready()
				for range 3 {
					s.set(func() { s.deaf = true })
					time.Sleep(time.Minute)
					require.NotEqual(t, bus.Live, b.State())
					s.set(func() { s.deaf = false })

					begin := time.Now()
					for b.State() != bus.Live && time.Since(begin) < 2*time.Minute {
						time.Sleep(time.Millisecond)
					}

					require.LessOrEqual(t, time.Since(begin), 4*probe+3*time.Second, "%v, %v", mode, probe)
				}
			})
		}
	}
}

// TestSlowServer: where every statement takes longer than any interval of the bus, each kind of work still has its turn: a pod
// proves what it has, whether it listens or polls, and sweeps.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	for _, mode := range []bus.Mode{bus.Auto, bus.Poll} {
		change := func(c *bus.Config) {
			c.Mode, c.BeatInterval, c.SweepInterval, c.PollInterval = mode, 200*time.Millisecond, 30*time.Millisecond, 50*time.Millisecond
		}
		onFake(t, change, func(t *testing.T, s *fakeServer, b *bus.Postgres, _ *logBuffer) {
			<-b.Ready()
			s.set(func() { s.latency = 250 * time.Millisecond })
			time.Sleep(5 * time.Second)

			for range 120 {
				notifies, beats := s.notifies.Load(), s.beats.Load()
				time.Sleep(5 * time.Second)
				require.True(t, b.Fresh(), mode)
				require.Greater(t, s.beats.Load(), beats, mode)
				if mode == bus.Auto {
					require.Greater(t, s.notifies.Load(), notifies, "it sweeps")
				}
			}
		})
	}
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

		require.LessOrEqual(t, time.Since(begin), bus.DefaultMaxBackoff+time.Second, "after one pause, once the server accepts connections again")
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

// TestManyPods: while little is heard, events are announced at once. While much is, they are held, the sweeping pod
// sweeps faster, what it announces is not announced again, and what it does not is announced after all.
func TestManyPods(t *testing.T) {
	t.Parallel()
	onFake(t, nil, func(t *testing.T, s *fakeServer, b *bus.Postgres, _ *logBuffer) {
		<-b.Ready()
		s.set(func() { s.pods = 50 })
		time.Sleep(10 * time.Second)
		event := bus.Event{Topic: "item", Keys: []string{"1"}}
		const soon = 10 * time.Millisecond // no time passes while somebody works: this is for timers only
		xid := uint64(1)
		commit := func() {
			xid++
			b.Committed(xid, event)
		}
		announced := func() int64 { return b.Stats().Announced }
		others := func(d time.Duration) {
			for range d / (5 * time.Millisecond) {
				s.set(func() { s.broadcast(b.Payload(event)[0]) })
				time.Sleep(5 * time.Millisecond)
			}
		}
		quiet := func() {
			for range 10 {
				before := announced()
				commit()
				time.Sleep(soon)
				require.Equal(t, before+1, announced(), "at once")
				time.Sleep(100 * time.Millisecond)
			}
		}
		quiet()

		others(time.Second)
		sweeps := b.Stats().Sweeps
		others(2 * time.Second)
		require.InDelta(t, 80, b.Stats().Sweeps-sweeps, 8, "25 ms apart, for 50 pods")

		before := announced()
		commit()
		others(100 * time.Millisecond)
		require.Equal(t, before, announced(), "left to the sweep")
		others(4*bus.DefaultSweepInterval - 100*time.Millisecond + soon)
		require.Equal(t, before+1, announced(), "but not for ever")

		before = announced()
		commit()
		others(50 * time.Millisecond)
		s.set(func() { s.broadcast(b.PayloadOf(xid, event)[0]) })
		others(2 * time.Second)
		require.Equal(t, before, announced(), "another pod has announced it")

		time.Sleep(time.Second)
		sweeps = b.Stats().Sweeps
		quiet()
		require.InDelta(t, 11, b.Stats().Sweeps-sweeps, 2, "as often as when nothing happens")
	})
}

// TestManyPodsDeaf: one of many that hears nothing cannot know when the others hold theirs back. It announces rarely.
func TestManyPodsDeaf(t *testing.T) {
	t.Parallel()
	onFake(t, nil, func(t *testing.T, s *fakeServer, b *bus.Postgres, _ *logBuffer) {
		<-b.Ready()
		s.set(func() { s.pods, s.deaf = 50, true })
		time.Sleep(10 * time.Second)
		require.Equal(t, bus.Polling, b.State())
		before := b.Stats()

		for xid := range 1000 {
			b.Committed(uint64(xid), bus.Event{Topic: "item", Keys: []string{"1"}})
			time.Sleep(5 * time.Millisecond)
		}

		after := b.Stats()
		require.InDelta(t, 5*time.Second/bus.DefaultSweepInterval, after.Notifies-before.Notifies, 5)
		require.InDelta(t, 1000, after.Announced-before.Announced, 30, "all but the last few")
	})
}

// TestSecondPodWaits: a pod that is new and not alone leaves the sweeping to the others for as long as they may be
// silent: its mark would send all of them to the log.
func TestSecondPodWaits(t *testing.T) {
	t.Parallel()
	for pods, least := range map[int]time.Duration{1: bus.DefaultSweepInterval, 2: bus.DefaultSweepInterval + bus.DefaultBeatInterval/4} {
		onFakeOf(t, pods, func(c *bus.Config) { c.Name = "new" }, func(t *testing.T, _ *fakeServer, b *bus.Postgres, _ *logBuffer) {
			begin := time.Now()
			for b.Stats().Sweeps == 0 {
				time.Sleep(time.Millisecond)
			}
			require.GreaterOrEqual(t, time.Since(begin), least)
			require.LessOrEqual(t, time.Since(begin), least+2*bus.DefaultSweepInterval+10*time.Millisecond)
		})
	}
}

// TestSlowSweeps: reads that are slow, as during a long transaction with many events, become rare. One alone does not.
func TestSlowSweeps(t *testing.T) {
	t.Parallel()
	onFake(t, nil, func(t *testing.T, s *fakeServer, b *bus.Postgres, _ *logBuffer) {
		<-b.Ready()
		time.Sleep(10 * time.Second)

		count := func(d time.Duration) int64 {
			before := b.Stats().Sweeps
			time.Sleep(d)
			return b.Stats().Sweeps - before
		}

		s.slowReads.Store(1)
		require.InDelta(t, 18, count(2*time.Second), 2, "one slow read")
		s.slowReads.Store(1_000_000)
		time.Sleep(2 * time.Second)
		require.InDelta(t, 10*time.Second/(4*slowRead), count(10*time.Second), 3, "a quarter of the time")
	})
}
