package recovery_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLedger: each judgement can go either way. It runs without any server.
func TestLedger(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	for name, c := range map[string]struct {
		play  func(l *ledger)
		wrong kind // empty: nothing is
	}{
		"the newest value": {play: func(l *ledger) {
			l.committed("k", 1, at(0))
			l.read("a", "k", 1, at(5000))
		}},
		"an old value within the bound": {play: func(l *ledger) {
			l.committed("k", 1, at(0))
			l.committed("k", 2, at(100))
			l.read("a", "k", 1, at(1000))
		}},
		"an old value beyond the bound": {wrong: stale, play: func(l *ledger) {
			l.committed("k", 1, at(0))
			l.committed("k", 2, at(100))
			l.read("a", "k", 1, at(1200))
		}},
		"a lost value within the bound": {play: func(l *ledger) {
			l.committed("k", 1, at(0))
			l.committed("k", 2, at(100))
			l.rewound("k", 1, 2, at(3000))
			l.read("a", "k", 2, at(4000))
			l.read("a", "k", 1, at(9000))
		}},
		"a lost value beyond the bound": {wrong: stale, play: func(l *ledger) {
			l.committed("k", 1, at(0))
			l.committed("k", 2, at(100))
			l.rewound("k", 1, 2, at(3000))
			l.read("a", "k", 2, at(4200))
		}},
		"a lost value whose commit was never known": {wrong: stale, play: func(l *ledger) {
			l.committed("k", 1, at(0))
			l.rewound("k", 1, 5, at(3000))
			l.read("a", "k", 4, at(4200))
		}},
		"a session that is valid": {play: func(l *ledger) {
			l.loggedIn("s", false)
			l.session("a", "s", true, at(0))
		}},
		"a session that is refused": {wrong: refused, play: func(l *ledger) {
			l.loggedIn("s", false)
			l.session("a", "s", false, at(0))
		}},
		"a session whose fate is open": {play: func(l *ledger) {
			l.loggedIn("s", true)
			l.session("a", "s", false, at(0))
			l.session("a", "s", true, at(0))
		}},
		"a session that turned out to exist": {wrong: refused, play: func(l *ledger) {
			l.loggedIn("s", true)
			l.survived("s")
			l.session("a", "s", false, at(0))
		}},
		"a revoked session within the bound": {play: func(l *ledger) {
			l.loggedIn("s", false)
			l.over("s", at(0))
			l.session("a", "s", true, at(900))
			l.session("a", "s", false, at(9000))
		}},
		"a revoked session beyond the bound": {wrong: back, play: func(l *ledger) {
			l.loggedIn("s", false)
			l.over("s", at(0))
			l.session("a", "s", true, at(1100))
		}},
		"tokens that grow": {play: func(l *ledger) {
			l.granted("a", "k", 1)
			l.granted("b", "l", 2)
		}},
		"a token twice": {wrong: went, play: func(l *ledger) {
			l.granted("a", "k", 2)
			l.granted("b", "l", 2)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger(time.Second)
			c.play(l)
			_, broken := l.result()
			if c.wrong == "" {
				require.Empty(t, broken)
				return
			}
			require.Len(t, broken, 1)
			require.NotEmpty(t, broken[c.wrong])
		})
	}
}
