package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// TestLockFault is one row about leases.
func TestLockFault(t *testing.T) {
	t.Parallel()
	pgtest.RequireBinaries(t)
	out, err := runFlags(t, "-run", "lock-blackhole", "-seconds", "1.5")
	require.NoError(t, err, out)
	require.Contains(t, out, "operations checked")
	require.Contains(t, out, "RESULT faults.passed 1/1")
}

// TestLockControl: without Guard the same check fails. Whether a holder is stopped between its look and its write is
// chance, so one schedule may find none; five do not.
func TestLockControl(t *testing.T) {
	t.Parallel()
	pgtest.RequireBinaries(t)
	c := lockControls()[0]
	c.inject = stopHolders(2)
	for range 5 {
		r := c.run(t.Context(), options{duration: defaultDuration}, true)
		require.NoError(t, r.err)
		if r.lock.lost > 0 {
			require.False(t, r.passed())
			return
		}
	}
	require.Fail(t, "unguarded writes were never lost")
}

// ms is a time of a history.
func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func grantOf(token int64, call, answer, valid int) lockOp {
	return lockOp{kind: lockAcquire, key: "k", token: token, outcome: Done, call: ms(call), answer: ms(answer), valid: ms(valid)}
}

func doneOf(kind lockKind, token int64, call, answer int) lockOp {
	return lockOp{kind: kind, key: "k", token: token, outcome: Done, call: ms(call), answer: ms(answer)}
}

// TestLockModel: histories of a mutex pass, and each way in which one can be none is found.
func TestLockModel(t *testing.T) {
	t.Parallel()
	unknown := func(op lockOp) lockOp {
		op.outcome, op.answer = Unknown, 0
		return op
	}
	refused := func(op lockOp) lockOp {
		op.outcome = Refused
		return op
	}
	elsewhere := func(op lockOp) lockOp {
		op.key = "other"
		return op
	}
	renewed := doneOf(lockClaim, 1, 90, 91)
	renewed.valid = ms(100)
	for name, c := range map[string]struct {
		history []lockOp
		lost    time.Duration
		bad     string // empty: it is one of a mutex
	}{
		"one after the other": {history: []lockOp{
			grantOf(1, 0, 1, 100), doneOf(lockAdd, 1, 2, 3), doneOf(lockRelease, 1, 4, 5), grantOf(2, 6, 7, 100), doneOf(lockAdd, 2, 8, 9),
		}},
		"granted while the release is under way": {history: []lockOp{
			grantOf(1, 0, 1, 100), doneOf(lockRelease, 1, 4, 8), grantOf(2, 2, 7, 100),
		}},
		"granted before the release": {bad: "none of a mutex", history: []lockOp{
			grantOf(1, 0, 1, 100), grantOf(2, 2, 3, 100), doneOf(lockRelease, 1, 4, 8),
		}},
		"granted when it had expired": {history: []lockOp{grantOf(1, 0, 1, 100), grantOf(2, 90, 101, 100)}},
		"granted before it could expire": {bad: "none of a mutex", history: []lockOp{
			grantOf(1, 0, 1, 100), grantOf(2, 90, 99, 100),
		}},
		"granted before what was renewed could expire": {bad: "none of a mutex", history: []lockOp{
			grantOf(1, 0, 1, 100), renewed, grantOf(2, 150, 180, 100),
		}},
		"guarded after another was granted": {bad: "guard by token 1", history: []lockOp{
			grantOf(1, 0, 1, 10), grantOf(2, 20, 30, 100), doneOf(lockAdd, 1, 31, 32),
		}},
		"guarded while another was granted": {history: []lockOp{
			grantOf(1, 0, 1, 10), grantOf(2, 20, 30, 100), doneOf(lockAdd, 1, 29, 32),
		}},
		"relied on after another was granted": {bad: "renew by token 1", history: []lockOp{
			grantOf(1, 0, 1, 10), grantOf(2, 20, 30, 100), doneOf(lockClaim, 1, 31, 32),
		}},
		"relied on by two in turn": {bad: "none of a mutex", history: []lockOp{
			grantOf(1, 0, 1, 10), grantOf(2, 20, 50, 100), doneOf(lockAdd, 2, 30, 35), doneOf(lockClaim, 1, 40, 45),
		}},
		"refused after another was granted": {history: []lockOp{
			grantOf(1, 0, 1, 10), grantOf(2, 20, 30, 100), refused(doneOf(lockAdd, 1, 31, 32)), refused(doneOf(lockRelease, 1, 33, 34)),
		}},
		"held by who had released it": {bad: "none of a mutex", history: []lockOp{
			grantOf(1, 0, 1, 100), doneOf(lockRelease, 1, 2, 3), doneOf(lockHeld, 1, 4, 5),
		}},
		"a smaller token": {bad: "granted after 2", history: []lockOp{
			grantOf(2, 0, 1, 100), doneOf(lockRelease, 2, 2, 3), grantOf(1, 4, 5, 100),
		}},
		"the same token": {bad: "granted after 2", history: []lockOp{
			grantOf(2, 0, 1, 100), doneOf(lockRelease, 2, 2, 3), grantOf(2, 4, 5, 100),
		}},
		"a smaller token elsewhere": {bad: "token 1 of other was granted after 2 of k", history: []lockOp{
			grantOf(2, 0, 1, 100), elsewhere(grantOf(1, 4, 5, 100)),
		}},
		"a smaller token elsewhere, at the same time": {history: []lockOp{grantOf(2, 0, 5, 100), elsewhere(grantOf(1, 4, 6, 100))}},
		"released, perhaps, and granted": {history: []lockOp{
			grantOf(1, 0, 1, 100), unknown(doneOf(lockRelease, 1, 2, 0)), grantOf(2, 10, 11, 100),
		}},
		"released, perhaps, but not, and guarded": {history: []lockOp{
			grantOf(1, 0, 1, 100), unknown(doneOf(lockRelease, 1, 2, 0)), doneOf(lockAdd, 1, 10, 11),
		}},
		"released, perhaps, and both": {bad: "none of a mutex", history: []lockOp{
			grantOf(1, 0, 1, 100), unknown(doneOf(lockRelease, 1, 2, 0)), grantOf(2, 10, 11, 100), doneOf(lockAdd, 1, 12, 13),
		}},
		"a write that was found later": {history: []lockOp{
			grantOf(1, 0, 1, 10), {kind: lockAdd, key: "k", token: 1, outcome: Done, call: ms(5)}, grantOf(2, 20, 30, 100),
		}},
		"a write that was found later, begun too late": {bad: "guard by token 1", history: []lockOp{
			grantOf(1, 0, 1, 10), {kind: lockAdd, key: "k", token: 1, outcome: Done, call: ms(35)}, grantOf(2, 20, 30, 100),
		}},
		"a grant that was lost": {lost: ms(20), history: []lockOp{grantOf(1, 0, 1, 100), grantOf(2, 30, 31, 100)}},
		"a grant that was not lost yet": {lost: ms(50), bad: "none of a mutex", history: []lockOp{
			grantOf(1, 0, 1, 100), grantOf(2, 30, 31, 100),
		}},
		"readers beside one another": {history: []lockOp{
			as(lockReaders, grantOf(1, 0, 1, 100)), as(lockReaders, grantOf(2, 2, 3, 100)), as(lockReaders, doneOf(lockAdd, 1, 4, 5)),
			as(lockReaders, doneOf(lockAdd, 2, 6, 7)), as(lockReaders, doneOf(lockRelease, 1, 8, 9)), as(lockReaders, doneOf(lockRelease, 2, 8, 10)),
			grantOf(3, 11, 12, 100),
		}},
		"alone beside a reader":     {bad: "none of a mutex", history: []lockOp{as(lockReaders, grantOf(1, 0, 1, 100)), grantOf(2, 2, 3, 100)}},
		"a reader beside one alone": {bad: "none of a mutex", history: []lockOp{grantOf(1, 0, 1, 100), as(lockReaders, grantOf(2, 2, 3, 100))}},
		"alone before the last reader's end": {bad: "none of a mutex", history: []lockOp{
			as(lockReaders, grantOf(1, 0, 1, 100)), as(lockReaders, grantOf(2, 2, 3, 100)), as(lockReaders, doneOf(lockRelease, 1, 4, 5)), grantOf(3, 6, 7, 100),
		}},
		"as many as there are places": {history: []lockOp{
			as(2, grantOf(1, 0, 1, 100)), as(2, grantOf(2, 2, 3, 100)), as(2, doneOf(lockRelease, 1, 4, 5)), as(2, grantOf(3, 6, 7, 100)),
		}},
		"more than there are places": {bad: "none of a mutex", history: []lockOp{
			as(2, grantOf(1, 0, 1, 100)), as(2, grantOf(2, 2, 3, 100)), as(2, grantOf(3, 6, 7, 100)),
		}},
		"a reader beside holders of a semaphore": {bad: "none of a mutex", history: []lockOp{
			as(2, grantOf(1, 0, 1, 100)), as(lockReaders, grantOf(2, 2, 3, 100)),
		}},
		"guarded by a holder of before": {bad: "none of a mutex", history: []lockOp{
			as(2, grantOf(1, 0, 1, 100)), as(2, doneOf(lockRelease, 1, 2, 3)), as(2, doneOf(lockAdd, 1, 4, 5)),
		}},
		"guarded although its grant was lost": {lost: ms(20), bad: "guard by token 1", history: []lockOp{
			grantOf(1, 0, 1, 100), grantOf(2, 30, 31, 100), doneOf(lockAdd, 1, 32, 33),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := checkLocks(c.history, c.lost)
			require.Positive(t, v.operations)

			if c.bad == "" {
				require.Empty(t, v.bad)
				return
			}

			require.NotEmpty(t, v.bad)
			require.Contains(t, strings.Join(v.bad, "\n"), c.bad)
		})
	}
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	history := []lockOp{grantOf(1, 0, 1, 10), grantOf(2, 20, 30, 100), doneOf(lockClaim, 1, 29, 60), doneOf(lockClaim, 1, 42, 43), doneOf(lockClaim, 2, 90, 91)}
	require.Equal(t, overlap{ms(12), 0}, overlapOf(history, nil))
	require.Equal(t, overlap{ms(12), ms(70)}, overlapOf(history, []lockOp{doneOf(lockClaim, 1, 100, 101), elsewhereOp(900)}))
	require.Zero(t, overlapOf(history[:3], nil), "it may have been asked before the grant")
}

// as is an operation by one who holds the lease in some way.
func as(how lockHow, op lockOp) lockOp {
	op.how = how
	return op
}

// TestOverlapOfShares: those who share a lease do not overlap.
func TestOverlapOfShares(t *testing.T) {
	t.Parallel()
	history := []lockOp{as(lockReaders, grantOf(1, 0, 1, 100)), as(lockReaders, grantOf(2, 20, 30, 100)), as(lockReaders, doneOf(lockClaim, 1, 42, 43))}
	require.Zero(t, overlapOf(history, history[2:]))
	history[1].how = lockAlone
	require.Equal(t, overlap{ms(12), ms(12)}, overlapOf(history, history[2:]))
}

func elsewhereOp(call int) lockOp {
	op := doneOf(lockClaim, 1, call, call)
	op.key = "other"
	return op
}

func TestCheckSets(t *testing.T) {
	t.Parallel()
	all := map[int64]noted{1: {"k", 10, false}, 2: {"k", 10, false}, 3: {"k", 11, false}, 4: {"k", 12, true}}
	lost, order, _ := checkSets(all, map[string][]int64{"k": {1, 2, 3}})
	require.Zero(t, lost+order)
	lost, order, proofs := checkSets(all, map[string][]int64{"k": {1, 3}})
	require.Equal(t, [2]int{1, 0}, [2]int{lost, order})
	require.Contains(t, proofs[0], "element 2 by token 10 was committed and is lost")
	lost, order, _ = checkSets(all, map[string][]int64{"k": {1, 3, 2}})
	require.Equal(t, [2]int{0, 1}, [2]int{lost, order})
}

// TestLockResultFails: a row with any violation does not pass, and neither does one that checked nothing.
func TestLockResultFails(t *testing.T) {
	t.Parallel()
	row := func(l lockResult) result { return result{lock: &l} }
	require.True(t, row(lockResult{checked: 1}).passed())
	require.False(t, row(lockResult{}).passed())
	require.False(t, row(lockResult{checked: 1, disorder: 1}).passed())
	require.False(t, row(lockResult{checked: 1, lost: 1}).passed())
	require.False(t, row(lockResult{checked: 1, order: 1}).passed())
	require.False(t, row(lockResult{checked: 1, together: 1}).passed())
	require.False(t, row(lockResult{checked: 1, overlap: overlap{claim: 1}}).passed())
	require.True(t, row(lockResult{checked: 1, overlap: overlap{claim: 1}, bound: overlap{claim: 1}}).passed())
	require.False(t, row(lockResult{checked: 1, overlap: overlap{context: contextLag + 1}, bound: overlap{context: contextLag}}).passed())
}
