package position_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

func snap(t require.TestingT, text string) position.Snapshot {
	s, err := position.ParseSnapshot(text)
	require.NoError(t, err)
	return s
}

func TestSnapshot(t *testing.T) {
	t.Parallel()
	s := snap(t, "10:20:10,14,15")
	for xid, want := range map[uint64]bool{0: true, 9: true, 10: false, 11: true, 14: false, 15: false, 19: true, 20: false, 1 << 40: false} {
		require.Equal(t, want, s.Sees(xid), "%d", xid)
	}
	require.Equal(t, "10:20:10,14,15", s.String())
	require.Equal(t, position.Stamp{Xmax: 20, InProgress: 3}, s.Stamp())
	require.Equal(t, "7:7:", snap(t, "7:7:").String())
	for _, bad := range []string{"", "1", "1:2", "a:2:", "1:b:", "3:2:", "1:9:x", "1:9:2,", "1:9:3,2", "1:9:2,2", "5:9:4", "5:9:9", "-1:2:", "1:2:3:4"} {
		_, err := position.ParseSnapshot(bad)
		require.ErrorContains(t, err, "malformed snapshot", bad)
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "1", ".", "1.", ".1", "1.x", "-1.0", "1.4294967296", "1.2.3"} {
		_, err := position.ParseStamp(bad)
		require.ErrorContains(t, err, "malformed stamp", bad)
	}
	var id position.EventID
	for _, bad := range []string{"", "1", "1.", ".1", "1.2147483648", "1.x"} {
		require.ErrorContains(t, id.UnmarshalText([]byte(bad)), "malformed event id", bad)
	}
	require.NoError(t, id.UnmarshalText([]byte("7.-2147483648")))
	require.Equal(t, "7.-2147483648", id.String())
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"10:20:10,14", "1:1:", "3.4", "7.-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := position.ParseSnapshot(text); err == nil {
			again := snap(t, s.String())
			require.Equal(t, s.Stamp(), again.Stamp())
		}

		if s, err := position.ParseStamp(text); err == nil {
			again, err := position.ParseStamp(s.String())
			require.NoError(t, err)
			require.Equal(t, s, again)
		}

		var id position.EventID
		_ = id.UnmarshalText([]byte(text))
	})
}

// primary draws the snapshots of a database in which transactions begin and end at random.
type primary struct {
	next uint64
	open []uint64
}

func (p *primary) step(t *rapid.T) {
	if len(p.open) == 0 || rapid.Bool().Draw(t, "begin") {
		p.next++
		p.open = append(p.open, p.next)
		return
	}
	i := rapid.IntRange(0, len(p.open)-1).Draw(t, "end")
	p.open = slices.Delete(p.open, i, i+1)
}

// snapshot is what Postgres answers: xmax is one past the newest transaction that has ended, and a transaction beyond
// xmax is not listed.
func (p *primary) snapshot(latest uint64) position.Snapshot {
	s := position.Snapshot{Xmax: latest + 1, Xmin: latest + 1}
	for _, xid := range p.open {
		if xid <= latest {
			s.Xip = append(s.Xip, xid)
		}
	}
	if len(s.Xip) > 0 {
		s.Xmin = s.Xip[0]
	}
	return s
}

// Stamps order the snapshots of a primary, and a later one sees all that an earlier one saw.
func TestStampsOrderSnapshots(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := &primary{next: 100}
		latest := uint64(100)
		var history []position.Snapshot
		for range rapid.IntRange(2, 60).Draw(t, "steps") {
			before := slices.Clone(p.open)
			p.step(t)

			for _, xid := range before {
				if !slices.Contains(p.open, xid) {
					latest = max(latest, xid)
				}
			}

			history = append(history, p.snapshot(latest))
		}

		for i, early := range history {
			for _, late := range history[i:] {
				require.True(t, late.Stamp().AtLeast(early.Stamp()))

				if early.Stamp() == late.Stamp() {
					require.Equal(t, early.String(), late.String(), "equal stamps, equal snapshots")
				}

				for xid := uint64(90); xid < p.next+3; xid++ {
					if early.Sees(xid) {
						require.True(t, late.Sees(xid))
					}
				}
			}
		}
	})
}

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func started(t *testing.T) *position.Tracker {
	t.Helper()
	tr := &position.Tracker{}
	require.Equal(t, "start", tr.ResetReason(position.Difference{Epoch: "e", Current: snap(t, "100:100:")}))
	tr.Start("e", snap(t, "100:100:"))
	tr.Passed(tr.Barrier())
	return tr
}

func TestTrackerMarks(t *testing.T) {
	t.Parallel()
	tr := started(t)
	require.Equal(t, position.Foreign, tr.Mark("other", position.Stamp{}, position.Stamp{Xmax: 200}))
	require.Equal(t, position.Gap, tr.Mark("e", position.Stamp{Xmax: 101}, position.Stamp{Xmax: 110}), "what is before from was missed")
	require.Equal(t, position.Stamp{Xmax: 100}, tr.Received())
	require.Equal(t, position.Advance, tr.Mark("e", position.Stamp{Xmax: 90}, position.Stamp{Xmax: 105}))
	require.Equal(t, position.Stamp{Xmax: 105}, tr.Received())
	require.Equal(t, position.Stamp{Xmax: 100}, tr.Position(), "not before the queues have passed")
	tr.Passed(tr.Barrier())
	require.Equal(t, position.Stamp{Xmax: 105}, tr.Position())
	require.Equal(t, position.Advance, tr.Mark("e", position.Stamp{Xmax: 90}, position.Stamp{Xmax: 99}))
	require.Equal(t, position.Stamp{Xmax: 105}, tr.Received(), "an old mark moves nothing back")
	var unstarted position.Tracker
	require.Equal(t, position.Foreign, unstarted.Mark("", position.Stamp{}, position.Stamp{}))
}

func TestTrackerFreshness(t *testing.T) {
	t.Parallel()
	tr := started(t)
	require.False(t, tr.Beat("other", snap(t, "1:1:"), t0), "another epoch proves nothing")
	require.True(t, tr.Beat("e", snap(t, "103:104:103"), t0))
	require.True(t, tr.FreshAsOf().IsZero())
	require.Equal(t, t0, tr.Unproven())
	tr.Mark("e", position.Stamp{Xmax: 100}, position.Stamp{Xmax: 104, InProgress: 2})
	tr.Passed(tr.Barrier())
	require.True(t, tr.FreshAsOf().IsZero(), "two in progress is before one")
	tr.Mark("e", position.Stamp{Xmax: 100}, position.Stamp{Xmax: 104, InProgress: 1})
	require.True(t, tr.Unproven().IsZero(), "it arrived")
	require.True(t, tr.FreshAsOf().IsZero(), "but is not applied")
	base, ok := tr.Base()
	require.True(t, ok)
	require.Equal(t, "103:104:103", base.String(), "the beat's snapshot is the next base")
	tr.Passed(tr.Barrier())
	require.Equal(t, t0, tr.FreshAsOf())

	// Barriers of before a reset say nothing after it.
	old := tr.Barrier()
	tr.Reset()
	require.True(t, tr.FreshAsOf().IsZero())
	tr.Start("e2", snap(t, "500:500:"))
	tr.Passed(old)
	require.True(t, tr.Position().IsZero())
	tr.Passed(tr.Barrier())
	require.Equal(t, position.Stamp{Xmax: 500}, tr.Position())
}

func TestTrackerResetReasons(t *testing.T) {
	t.Parallel()
	tr := started(t)
	good := position.Difference{Epoch: "e", BaseOf: "e", Base: snap(t, "100:100:"), Current: snap(t, "120:120:"), Position: position.Stamp{Xmax: 100}}
	for want, change := range map[string]func(*position.Difference){
		"":        func(*position.Difference) {},
		"epoch":   func(d *position.Difference) { d.Epoch = "e2" },
		"start":   func(d *position.Difference) { d.BaseOf = "" },
		"pruned":  func(d *position.Difference) { d.PrunedTo = snap(t, "101:101:") },
		"rewound": func(d *position.Difference) { d.Current = snap(t, "99:99:") },
	} {
		d := good
		change(&d)
		require.Equal(t, want, tr.ResetReason(d))
	}

	d := good
	d.PrunedTo = snap(t, "100:100:")
	require.Empty(t, tr.ResetReason(d), "pruned exactly to where we stand")
}

// A sweep starts from nothing that only this pod has seen, or its mark sends all others to the log.
func TestSweepBase(t *testing.T) {
	t.Parallel()
	tr := started(t)
	base := func() string { s, _ := tr.SweepBase(); return s.String() }
	require.Equal(t, "100:100:", base(), "no mark yet: the own base")
	tr.Sent(snap(t, "110:110:"))
	require.True(t, tr.IsSent(position.Stamp{Xmax: 110}))
	require.Equal(t, "100:100:", base(), "a mark that is only sent counts for nothing")
	tr.Mark("e", position.Stamp{Xmax: 100}, position.Stamp{Xmax: 110})
	require.Equal(t, "110:110:", base())
	tr.CaughtUp(snap(t, "150:150:"))
	own, _ := tr.Base()
	require.Equal(t, "150:150:", own.String())
	require.Equal(t, "110:110:", base(), "a difference that only this pod has read")
	tr.Mark("e", position.Stamp{Xmax: 110}, position.Stamp{Xmax: 155})
	require.Equal(t, "150:150:", base())
}

func TestMemory(t *testing.T) {
	t.Parallel()
	tr := started(t)
	id := position.EventID{XID: 101, N: -3}
	require.Zero(t, tr.Known(id))
	tr.Remember(id, position.Applied)
	require.Equal(t, position.Applied, tr.Known(id))
	tr.Remember(id, position.Announced)
	require.Equal(t, position.Applied|position.Announced, tr.Known(id))

	// Ids that the base sees are asked for no more and are forgotten; a newer one is kept.
	tr.CaughtUp(snap(t, "5000:5000:"))
	tr.Remember(position.EventID{XID: 6000}, position.Announced)

	for i := range 5000 {
		tr.Remember(position.EventID{XID: uint64(200 + i%3000), N: int32(i)}, position.Announced)
	}

	require.Zero(t, tr.Known(id))
	require.Equal(t, position.Announced, tr.Known(position.EventID{XID: 6000}))
	tr.Reset()
	require.Zero(t, tr.Known(position.EventID{XID: 6000}))
}

// Barriers without end, as before a subscriber that never returns, are thinned out and lose nothing but granularity.
func TestBarriersAreBounded(t *testing.T) {
	t.Parallel()
	tr := started(t)
	for i := range uint64(10_000) {
		tr.Mark("e", position.Stamp{Xmax: 100}, position.Stamp{Xmax: 101 + i})
		if i%100 == 0 {
			tr.Beat("e", snap(t, "101:101:"), t0.Add(time.Duration(i)))
		}
	}
	tr.Passed(tr.Barrier())
	require.Equal(t, position.Stamp{Xmax: 10_100}, tr.Position())
	require.False(t, tr.FreshAsOf().IsZero())
}
