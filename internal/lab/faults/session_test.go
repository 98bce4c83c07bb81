package main

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// TestSessionFault is one row about sessions.
func TestSessionFault(t *testing.T) {
	t.Parallel()
	pgtest.RequireBinaries(t)
	out, err := runFlags(t, "-run", "session-listen-cut", "-seconds", "1.5")
	require.NoError(t, err, out)
	require.Contains(t, out, "late logins")
	require.Contains(t, out, "RESULT faults.passed 1/1")
}

// TestSessionControl: with a guard of the store off the same check fails.
func TestSessionControl(t *testing.T) {
	t.Parallel()
	pgtest.RequireBinaries(t)
	for _, c := range sessionControls() {
		if c.sessions.LoginLate {
			r := c.runUntilCaught(t.Context(), options{duration: time.Second})
			require.NoError(t, r.err)
			require.True(t, c.caught(r), "%v", r.gate)
			require.False(t, r.passed())
			return
		}
	}
	t.Fatal("no such control")
}

const bound = 100 * time.Millisecond

// story is a gate, and what has happened to it at times in milliseconds.
type story struct {
	*gate
	t     *testing.T
	begun time.Time
}

func (s *story) at(n int) time.Time         { return s.begun.Add(ms(n)) }
func (s *story) span(call, answer int) span { return span{s.at(call), s.at(answer)} }

// make makes a session of ann, who logged in with password 1, at 0, and lasts as long.
func (s *story) make(id string, lasts time.Duration) *ticket {
	return s.created(Made{Token: "token of " + id, ID: id, User: "ann"}, Creation{Secret: "secret of " + id, Absolute: lasts}, 1, s.span(-1, 0))
}

func in(id string, version int64, elements ...int64) Answer {
	return Answer{Outcome: Done, ID: id, User: "ann", Version: version, Sheet: Sheet{"secret of " + id, elements}}
}

var out = Answer{Outcome: Refused}

// TestGate: each of the promises is found to be broken when it is, and not when it is not.
func TestGate(t *testing.T) {
	t.Parallel()
	ended := func(c *sessionTally) count { return c.ended }
	revived := func(c *sessionTally) count { return c.revived }
	for name, c := range map[string]struct {
		what func(*sessionTally) count
		good func(*story, *ticket)
		bad  func(*story, *ticket)
	}{
		"let in after the end": {
			ended,
			func(s *story, x *ticket) {
				s.over(x.of, s.at(10))
				s.answered("p", x, in("a", 1), false, s.at(5))
				s.answered("p", x, in("a", 1), false, s.at(10+100)) // the bound
				s.answered("p", x, out, false, s.at(500))
			},
			func(s *story, x *ticket) { s.over(x.of, s.at(10)); s.answered("p", x, in("a", 1), false, s.at(111)) },
		},
		"let in after a new password": {
			ended,
			func(s *story, x *ticket) {
				s.changing("ann", 2, x.of) // which keeps this one
				s.changed("ann", 2, s.at(10))
				s.changed("bob", 3, s.at(10))
				s.answered("p", x, in("a", 1), false, s.at(500))
				other := s.make("b", time.Hour)
				s.answered("p", other, out, false, s.at(500))
			},
			func(s *story, x *ticket) {
				s.changed("ann", 2, s.at(10))
				s.answered("p", x, in("a", 1), false, s.at(111))
			},
		},
		"let in after the new password that came after the one which kept it": {
			ended,
			func(s *story, x *ticket) {
				s.changed("ann", 3, s.at(10))
				s.answered("p", x, out, false, s.at(500))
			},
			func(s *story, x *ticket) {
				s.changing("ann", 2, x.of)
				s.changed("ann", 2, s.at(10))
				s.changed("ann", 3, s.at(20))
				s.answered("p", x, in("a", 1), false, s.at(121))
			},
		},
		"old data": {
			ended,
			func(s *story, x *ticket) {
				s.saved(x, 7, 2, s.span(5, 10))
				s.answered("p", x, in("a", 1), false, s.at(110))
				s.over(x.of, s.at(120))
				s.answered("p", x, out, false, s.at(121))
			},
			func(s *story, x *ticket) {
				s.saved(x, 7, 2, s.span(5, 10))
				s.answered("p", x, in("a", 1), false, s.at(111))
			},
		},
		"found in the database after the end": {
			revived,
			func(s *story, x *ticket) { s.over(x.of, s.at(10)); s.answered("p", x, out, true, s.at(11)) },
			func(s *story, x *ticket) { s.over(x.of, s.at(10)); s.answered("p", x, in("a", 1), true, s.at(11)) },
		},
		"valid in the database after the end": {
			revived,
			func(s *story, x *ticket) {
				s.looked("a", false, s.span(5, 6))
				s.looked("a", true, s.span(11, 12))
				s.looked("?", true, s.span(1, 2))
			},
			func(s *story, x *ticket) { s.looked("a", true, s.span(5, 10)); s.looked("a", false, s.span(11, 12)) },
		},
		"valid in the database after a new password": {
			revived,
			func(s *story, x *ticket) {
				s.changed("ann", 2, s.at(10))
				s.looked("a", false, s.span(9, 12)) // it may have been before
				s.looked("a", true, s.span(11, 12))
			},
			func(s *story, x *ticket) { s.changed("ann", 2, s.at(10)); s.looked("a", false, s.span(11, 12)) },
		},
		"saved after the end": {
			revived,
			func(s *story, x *ticket) {
				s.over(x.of, s.at(10))
				s.saved(x, 1, 2, s.span(9, 12)) // perhaps before
				s.refusedWrite(x, s.span(11, 12))
			},
			func(s *story, x *ticket) { s.over(x.of, s.at(10)); s.saved(x, 1, 2, s.span(11, 12)) },
		},
		"rotated after the end": {
			revived,
			func(s *story, x *ticket) { s.over(x.of, s.at(10)); s.refusedWrite(x, s.span(11, 12)) },
			func(s *story, x *ticket) {
				s.over(x.of, s.at(10))
				s.rotated(x, Made{Token: "next", ID: "a"}, Rotation{}, 0, s.span(11, 12))
			},
		},
		"kept after the end": {
			revived,
			func(s *story, x *ticket) {
				s.keeping(x, s.span(1, 2))
				s.over(x.of, s.at(10))
				s.refusedWrite(x, s.span(11, 12))
			},
			func(s *story, x *ticket) { s.over(x.of, s.at(10)); s.keeping(x, s.span(11, 12)) },
		},
		"a login that came late": {
			func(c *sessionTally) count { return c.late },
			func(s *story, x *ticket) {
				s.changed("ann", 2, s.at(-5))
				s.created(Made{Token: "b", ID: "b", User: "ann"}, Creation{}, 1, s.span(-6, 0)) // perhaps before
				s.refusedLogin("ann", 1, s.span(-4, 0))
			},
			func(s *story, x *ticket) { s.changed("ann", 2, s.at(-5)); s.make("b", time.Hour) },
		},
		"a login by rotation that came late": {
			func(c *sessionTally) count { return c.late },
			func(s *story, x *ticket) { s.changed("bob", 2, s.at(5)); s.refusedLogin("bob", 1, s.span(6, 7)) },
			func(s *story, x *ticket) {
				s.changed("bob", 2, s.at(5))
				s.rotated(x, Made{Token: "b", ID: "a", User: "bob"}, Rotation{Login: "1:bob"}, 1, s.span(6, 7))
			},
		},
		"let in after the end was confirmed": {
			func(c *sessionTally) count { return c.untrue },
			func(s *story, x *ticket) {
				s.over(x.of, s.at(10))
				s.overConfirmed(x.of, s.at(20))
				s.answered("p", x, in("a", 1), false, s.at(19))
				s.answered("p", x, out, false, s.at(21))
			},
			func(s *story, x *ticket) {
				s.over(x.of, s.at(10))
				s.overConfirmed(x.of, s.at(20))
				s.answered("p", x, in("a", 1), false, s.at(21))
			},
		},
		"let in after a new password was confirmed": {
			func(c *sessionTally) count { return c.untrue },
			func(s *story, x *ticket) {
				s.changed("ann", 2, s.at(9))
				s.changeConfirmed("ann", 2, s.at(10))
				s.answered("p", x, out, false, s.at(11))
			},
			func(s *story, x *ticket) {
				s.changeConfirmed("ann", 2, s.at(10))
				s.answered("p", x, in("a", 1), false, s.at(11))
			},
		},
		"two saves of one version": {
			func(c *sessionTally) count { return c.vanished },
			func(s *story, x *ticket) { s.saved(x, 1, 2, s.span(1, 2)); s.saved(x, 2, 3, s.span(1, 2)) },
			func(s *story, x *ticket) { s.saved(x, 1, 2, s.span(1, 2)); s.saved(x, 2, 2, s.span(1, 2)) },
		},
		"a save that is not there": {
			func(c *sessionTally) count { return c.vanished },
			func(s *story, x *ticket) {
				s.saved(x, 1, 2, s.span(1, 2))
				s.answered("p", x, in("a", 1), false, s.at(3))
				s.answered("p", x, in("a", 3, 1, 9), false, s.at(3))
			},
			func(s *story, x *ticket) {
				s.saved(x, 1, 2, s.span(1, 2))
				s.answered("p", x, in("a", 3, 9), false, s.at(3))
			},
		},
		"another's session": {
			func(c *sessionTally) count { return c.mixed },
			func(s *story, x *ticket) { s.answered("p", x, in("a", 1), false, s.at(1)) },
			func(s *story, x *ticket) { s.answered("p", x, in("b", 1), false, s.at(1)) },
		},
		"a token from before the login that is logged in": {
			func(c *sessionTally) count { return c.mixed },
			func(s *story, x *ticket) {
				s.rotated(x, Made{Token: "next", ID: "a", User: "bob"}, Rotation{Login: "1:bob"}, 1, s.span(1, 2))
				s.answered("p", x, in("a", 1), false, s.at(3))
			},
			func(s *story, x *ticket) {
				s.rotated(x, Made{Token: "next", ID: "a", User: "bob"}, Rotation{Login: "1:bob"}, 1, s.span(1, 2))
				a := in("a", 1)
				a.User = "bob"
				s.answered("p", x, a, false, s.at(3))
			},
		},
		"another's one-time value": {
			func(c *sessionTally) count { return c.mixed },
			func(s *story, x *ticket) {
				s.put("v", "data")
				s.took("v", Answer{Outcome: Done, Sheet: Sheet{Secret: "data"}})
			},
			func(s *story, x *ticket) {
				s.put("v", "data")
				s.took("v", Answer{Outcome: Done, Sheet: Sheet{Secret: "other"}})
			},
		},
		"let in after the deadline": {
			func(c *sessionTally) count { return c.overdue },
			func(s *story, x *ticket) {
				short := s.make("b", 50*time.Millisecond)
				s.answered("p", short, in("b", 1), false, s.at(50))
				s.answered("p", short, out, false, s.at(51))
			},
			func(s *story, x *ticket) {
				short := s.make("b", 50*time.Millisecond)
				next := s.rotated(short, Made{Token: "next", ID: "b", User: "ann"}, Rotation{}, 0, s.span(40, 45))
				s.answered("p", next, in("b", 1), false, s.at(51))
			},
		},
		"let in by an old token": {
			func(c *sessionTally) count { return c.replaced },
			func(s *story, x *ticket) {
				next := s.rotated(x, Made{Token: "next", ID: "a", User: "ann"}, Rotation{Grace: ms(500)}, 0, s.span(1, 2))
				s.answered("p", x, in("a", 1), false, s.at(5000)) // the new one has not been used
				s.answered("p", next, in("a", 1), false, s.at(3))
				used := int(time.Since(s.begun).Milliseconds()) + 1500
				s.answered("p", x, in("a", 1), false, s.at(used))
				s.answered("p", x, out, false, s.at(used+1000))
			},
			func(s *story, x *ticket) {
				s.rotated(x, Made{Token: "next", ID: "a", User: "ann"}, Rotation{}, 0, s.span(1, 2))
				s.answered("p", x, in("a", 1), false, s.at(103))
			},
		},
		"taken twice": {
			func(c *sessionTally) count { return c.twice },
			func(s *story, x *ticket) {
				s.put("v", "data")
				for _, o := range []Outcome{Done, Refused, Unknown} {
					s.took("v", Answer{Outcome: o, Sheet: Sheet{Secret: "data"}})
				}
			},
			func(s *story, x *ticket) {
				s.put("v", "data")
				s.took("v", Answer{Outcome: Done, Sheet: Sheet{Secret: "data"}})
				s.took("v", Answer{Outcome: Done, Sheet: Sheet{Secret: "data"}})
			},
		},
		"refused after one of two rotations": {
			func(c *sessionTally) count { return c.refused },
			func(s *story, x *ticket) {
				s.rotating(x)
				s.rotating(x)
				s.rotated(x, Made{Token: "last", ID: "a", User: "ann"}, Rotation{}, 0, s.span(2, 3))

				// Answered later, and perhaps done before.
				first := s.rotated(x, Made{Token: "first", ID: "a", User: "ann"}, Rotation{Grace: ms(500)}, 0, s.span(1, 4))
				s.answered("p", first, out, false, s.at(5))

				again := s.make("b", time.Hour)
				for range 2 { // with a grace both are given the same
					s.rotating(again)
				}

				next := s.rotated(again, Made{Token: "same", ID: "b", User: "ann"}, Rotation{Grace: ms(500)}, 0, s.span(6, 7))
				require.Same(s.t, next, s.rotated(again, Made{Token: "same", ID: "b", User: "ann"}, Rotation{Grace: ms(500)}, 0, s.span(6, 8)))
				s.answered("p", next, in("b", 1), false, s.at(500))
			},
			func(s *story, x *ticket) {
				s.rotating(x)
				first := s.rotated(x, Made{Token: "first", ID: "a", User: "ann"}, Rotation{}, 0, s.span(1, 2))
				s.rotating(first)
				last := s.rotated(first, Made{Token: "last", ID: "a", User: "ann"}, Rotation{}, 0, s.span(3, 4))
				s.answered("p", last, out, false, s.at(5))
			},
		},
		"refused after the end of all sessions": {
			func(c *sessionTally) count { return c.refused },
			func(s *story, x *ticket) {
				call := time.Now()
				guests := s.endingGuests()
				s.endedGuests(guests, true, false, time.Now())

				// It may have been there already, although that was said later.
				guest := s.created(Made{Token: "guest", ID: "g"}, Creation{Secret: "secret of g", Absolute: time.Hour}, 0, span{call, time.Now()})
				s.answered("p", guest, out, false, time.Now())
				a := in("a", 1)
				s.answered("p", x, a, false, s.at(1))
			},
			func(s *story, x *ticket) {
				s.endedGuests(s.endingGuests(), true, false, time.Now())
				call := time.Now()
				guest := s.created(Made{Token: "guest", ID: "g"}, Creation{Secret: "secret of g", Absolute: time.Hour}, 0, span{call, time.Now()})
				s.answered("p", guest, out, false, time.Now())
			},
		},
		"refused although valid": {
			func(c *sessionTally) count { return c.refused },
			func(s *story, x *ticket) {
				s.answered("p", x, in("a", 1), false, s.at(1))
				s.answered("p", x, Answer{Outcome: Unknown}, false, s.at(1))
				s.changing("ann", 2, nil)
				s.answered("p", x, out, false, s.at(1)) // it may have been changed
			},
			func(s *story, x *ticket) { s.answered("p", x, out, false, s.at(1)) },
		},
		"a one-time value refused to all": {
			func(c *sessionTally) count { return c.refused },
			func(s *story, x *ticket) {
				s.put("v", "d")
				s.took("v", Answer{Outcome: Unknown})
				s.took("v", out)
				s.answered("p", x, in("a", 1), false, s.at(1))
			},
			func(s *story, x *ticket) { s.put("v", "d"); s.took("v", out) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, bad := range []bool{false, true} {
				s := &story{newGate(bound), t, time.Now()}
				x := s.make("a", time.Hour)
				if bad {
					c.bad(s, x)
				} else {
					c.good(s, x)
				}

				s.finish()
				tally, proofs := s.result()
				result := &gateResult{tally}
				if !bad {
					require.Zero(t, result.violations(), "%v: %v", result, proofs)
					require.Positive(t, c.what(&tally).of, "counted as checked")
					continue
				}

				require.Positive(t, c.what(&tally).bad)
				require.Equal(t, c.what(&tally).bad, result.violations(), "nothing else: %v", result)
				require.NotEmpty(t, proofs)
			}
		})
	}
}

// TestEar: what is said is heard, however it is spelled, and the first half of a hash may be said.
func TestEar(t *testing.T) {
	t.Parallel()
	raw := []byte(strings.Repeat("\xfb\x01q", 11)[:32])
	token := base64.RawURLEncoding.EncodeToString(raw)
	for name, said := range map[string]string{
		"token": token + ".seal", "hex": hex.EncodeToString(raw), "base64": base64.StdEncoding.EncodeToString(raw), "raw": string(raw), "data": "a secret sheet",
	} {
		e := newEar()
		e.token(token)
		e.secret("a secret sheet")
		_, _ = e.Write([]byte("before " + said[:len(said)/4] + " after "))
		found, looked, size, _ := e.leaks()
		require.Empty(t, found, name)
		require.EqualValues(t, 2, looked)
		require.Positive(t, size)
		_, _ = e.Write([]byte(said[:3]))
		_, _ = e.Write([]byte(said[3:])) // in two parts
		found, _, _, _ = e.leaks()
		require.Len(t, found, 1, name)
	}
}

// TestGateResultFails: a row with any violation does not pass, and neither does one that checked nothing.
func TestGateResultFails(t *testing.T) {
	t.Parallel()
	var g gateResult
	require.Equal(t, 10, strings.Count(g.unchecked(), ", "))
	require.False(t, result{gate: &g}.passed())
	g.tally.answers = 1
	require.True(t, result{gate: &g}.passed())
	require.Len(t, g.cells(result{}), len(gateShape.names))
	require.Len(t, gateShape.widths, len(gateShape.names))
	g.tally.leaks = count{1, 2}
	require.False(t, result{gate: &g}.passed())
	require.NotContains(t, g.unchecked(), "leaks")
}
