package bus

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/position"
	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// crowd is the pace of a number of pods with the default intervals.
func crowd(pods int64) pace {
	return pace{announce: DefaultAnnounceInterval, sweep: DefaultSweepInterval, pods: pods}
}

// paceStart is any time.
var paceStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// flow hears n announcements, evenly, and returns when the last was.
func (p *pace) flow(now time.Time, n int, period time.Duration) time.Time {
	for range n {
		now = now.Add(period)
		p.heard(now, 1)
	}
	return now
}

func TestPaceTurn(t *testing.T) {
	t.Parallel()
	for pods, want := range map[int64]time.Duration{
		0: 0, 1: 0, 3: 0, 9: 0, 10: 5 * time.Millisecond, 50: 25 * time.Millisecond, 200: 100 * time.Millisecond,
		1000: DefaultSweepInterval,
	} {
		require.Equal(t, want, crowd(pods).turn(), pods)
	}
	p := crowd(50)
	p.announce = 30 * time.Millisecond
	require.Zero(t, p.turn(), "no more often than the pods themselves")
}

// TestPaceQuiet: a pod that hears little announces at once, whatever the number of pods.
func TestPaceQuiet(t *testing.T) {
	t.Parallel()
	for _, pods := range []int64{1, 10, 50, 200, 1000} {
		p := crowd(pods)
		require.Zero(t, p.hold(paceStart), "nothing was ever heard")
		turn := max(p.turn(), DefaultAnnounceInterval)
		now := p.flow(paceStart, 100, turn) // half of what makes it hold
		require.Zero(t, p.hold(now), pods)
		require.Equal(t, DefaultSweepInterval, p.sweepEvery(now, time.Time{}, time.Time{}), pods)
	}
}

// TestPaceFew: few pods hold nothing back, however much they say.
func TestPaceFew(t *testing.T) {
	t.Parallel()
	p := crowd(9)
	now := p.flow(paceStart, 10_000, 100*time.Microsecond)
	require.Zero(t, p.hold(now))
	require.Equal(t, DefaultSweepInterval, p.sweepEvery(now, now, time.Time{}), "not even if the sweep found something")
}

// TestPaceBusy: many announcements make every pod hold, and the sweeper hurry. It goes on as long as the flow, although
// nobody but the sweeper announces then, and for some turns after its last find.
func TestPaceBusy(t *testing.T) {
	t.Parallel()
	for _, pods := range []int64{10, 50, 200, 1000} {
		p := crowd(pods)
		turn := p.turn()
		now := p.flow(paceStart, 1000, turn/4)
		require.Positive(t, p.hold(now), pods)

		for range 1000 { // the sweeper carries the same flow
			now = now.Add(turn)
			p.mark(now)
			p.heard(now, 4)
			require.Positive(t, p.hold(now.Add(turn-1)), pods)
			require.Equal(t, turn, p.sweepEvery(now.Add(turn-1), now, time.Time{}), pods)
		}

		require.Equal(t, turn, p.sweepEvery(now.Add(idleTurns*turn-1), now, time.Time{}), pods)
		now = now.Add(time.Second + idleTurns*turn)
		require.Zero(t, p.hold(now), "%d pods: quiet again", pods)
		require.Equal(t, DefaultSweepInterval, p.sweepEvery(now, now.Add(-idleTurns*turn), time.Time{}), pods)
	}
}

// TestPaceThins: a flow that was too much and has become little is announced at once again, although every sweep finds
// some of what is held.
func TestPaceThins(t *testing.T) {
	t.Parallel()
	p := crowd(50)
	now := p.flow(paceStart, 1000, time.Millisecond)
	require.Positive(t, p.hold(now))

	held := 0
	for range 100 {
		now = now.Add(p.turn())
		p.mark(now)
		p.heard(now, 1)
		if p.hold(now) > 0 {
			held++
		}
	}

	require.Zero(t, p.hold(now))
	require.Less(t, held, 40, "within a second")
}

// TestPacePatience: pods wait for several turns, and for several of those that the sweeper really makes, but never for
// more than some SweepIntervals.
func TestPacePatience(t *testing.T) {
	t.Parallel()
	p := crowd(50)
	turn := p.turn()
	require.Equal(t, 4*turn, p.maxHold(), "no mark was heard yet")

	now := paceStart
	marks := func(n int, every time.Duration) {
		for range n {
			now = now.Add(every)
			p.mark(now)
		}
	}
	marks(10, turn)
	require.Equal(t, 4*turn, p.maxHold())
	marks(1, 2*turn)
	require.Equal(t, 6*turn, p.maxHold(), "a slow sweeper is waited for at once")
	marks(10, turn)
	require.Equal(t, 4*turn, p.maxHold(), "but not for ever")
	marks(2, 250*time.Millisecond)
	require.Equal(t, 4*DefaultSweepInterval, p.maxHold())
	now = p.flow(now, 1000, time.Millisecond)
	require.Equal(t, 2*DefaultSweepInterval, p.hold(now), "a sweeper that is gone delays nothing for longer than twice this")
	require.Equal(t, 4*DefaultSweepInterval, crowd(1000).maxHold())
}

// TestSpared: what a sweep found counts by its transactions, however many topics and events they have.
func TestSpared(t *testing.T) {
	t.Parallel()
	groups := []wire.Group{
		{Topic: "a", IDs: []position.EventID{{XID: 7}, {XID: 7, N: 1}, {XID: 9}}},
		{Topic: "b", IDs: []position.EventID{{XID: 9, N: 1}, {XID: 8}}},
		{Topic: "c", Also: true},
	}
	require.Equal(t, 1, savedNotifies(&wire.Message{Groups: groups}))
	require.Equal(t, 3, savedNotifies(&wire.Message{Groups: groups, Mark: &wire.Mark{}}))
	require.Zero(t, savedNotifies(&wire.Message{Groups: groups[2:], Mark: &wire.Mark{}}), "of triggers: no pod announces them")
}

// While writers are at work that announce nothing, the sweep is more frequent, but not on a server with many pods.
func TestPaceOfUnawareWriters(t *testing.T) {
	t.Parallel()
	now := paceStart
	for pods, want := range map[int64]time.Duration{
		1: unawareSweep, 9: unawareSweep, 40: unawareSweep, 50: 25 * time.Millisecond, 200: DefaultSweepInterval, 1000: DefaultSweepInterval,
	} {
		p := crowd(pods)
		require.Equal(t, DefaultSweepInterval, p.sweepEvery(now, time.Time{}, time.Time{}), "%d pods, idle", pods)
		require.Equal(t, want, p.sweepEvery(now, now.Add(-time.Hour), now.Add(-unawareMemory/2)), "%d pods", pods)
		require.Equal(t, DefaultSweepInterval, p.sweepEvery(now, now.Add(-time.Hour), now.Add(-unawareMemory)), "%d pods, a while later", pods)
	}
	p := crowd(3)
	p.sweep = 5 * time.Millisecond
	require.Equal(t, p.sweep, p.sweepEvery(now, now, now), "never less often than SweepInterval")
}
