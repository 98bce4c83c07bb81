package main

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// small lists the worlds that are searched completely within two seconds. `make explore` searches the others.
var small = []string{"sweeps", "loads", "start", "fills-fresh", "queue"}

// TestWorlds: no state of a small world breaks a guarantee.
func TestWorlds(t *testing.T) {
	t.Parallel()
	for _, name := range small {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := search(worldOf(t, name).first(), 100_000, nil)
			require.Empty(t, r.violation, "%v", r.trace)
			require.True(t, r.whole, "%d states", r.states)
			require.Greater(t, r.states, int64(1000), "a world in which nothing can happen proves nothing")
		})
	}
}

func worldOf(t *testing.T, name string) smallWorld {
	t.Helper()
	all := worlds()
	i := slices.IndexFunc(all, func(w smallWorld) bool { return w.name == name })
	require.GreaterOrEqual(t, i, 0, name)

	return all[i]
}

// TestRules: without any one of the rules some state breaks a guarantee. Rules that need more states than a test can visit
// are left to `make explore`.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, rule := range allRules() {
		if rule.deep {
			continue
		}
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			r := search(rule.first(), 50_000, nil)
			require.NotEmpty(t, r.violation, "no state needs this rule (%d states, whole: %v)", r.states, r.whole)
			require.NotEmpty(t, r.trace)
		})
	}
}

// TestTraces: a trace leads from the first state to the violation, and no shorter one does.
func TestTraces(t *testing.T) {
	t.Parallel()
	s := scopeOf("sweeps")
	s.off = guards{markWithoutEvents: true}
	r := search(newWorld(&s), 50_000, nil)
	require.NotEmpty(t, r.violation)

	at := newWorld(&s)
	for i, taken := range r.trace {
		require.Empty(t, at.broken, "before step %d", i+1)
		require.True(t, slices.Contains(at.steps(), taken), "step %d: %v", i+1, taken)
		at = at.clone()
		at.take(taken)
		at.check()
	}
	require.Equal(t, r.violation, at.broken)
	require.Len(t, r.trace, r.depth)
}

// TestStatesAreNotShared: a step changes a copy, and never the state that it was taken from.
func TestStatesAreNotShared(t *testing.T) {
	t.Parallel()
	for _, s := range worlds() {
		level := []state{s.first()}
		for depth := 0; depth < 14 && len(level) > 0; depth++ {
			var deeper []state
			for _, w := range level {
				before := w.append(nil)
				for _, n := range w.next() {
					deeper = append(deeper, n)
				}
				require.Equal(t, before, w.append(nil), "%s, %d deep", s.name, depth)
			}

			level = deeper[:min(len(deeper), 40)]
			slices.Reverse(deeper)
			level = append(level, deeper[:min(len(deeper), 40)]...)
		}
	}
}

// TestExploreFails: the command returns an error when a world is too large, when the search does not need a rule, and when a
// name is unknown.
func TestExploreFails(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.ErrorContains(t, explore(&out, "start", 100, false), "start has more than 100 states: raise -limit")
	require.ErrorContains(t, explore(&out, "loads", 100, false), `no state of loads needs the rule "an event detaches`)
	require.ErrorContains(t, explore(&out, "nowhere", 100, false), `no world is called "nowhere"`)

	out.Reset()
	require.NoError(t, explore(&out, "loads", 100_000, true))
	require.Contains(t, out.String(), "RESULT explore.violations 0")
	require.Contains(t, out.String(), "pod 0: receives the beat's snapshot")
}
