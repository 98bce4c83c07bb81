package merge_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pgcoherence/pgcoherence/sessionstore/internal/merge"
)

type values = map[string]any

func TestValues(t *testing.T) {
	t.Parallel()
	list := func(v ...any) []any { return v }
	for name, tc := range map[string]struct{ base, mine, now, want values }{
		"nothing":                   {values{}, values{}, values{}, values{}},
		"added by both":             {values{}, values{"a": 1}, values{"b": 2}, values{"a": 1, "b": 2}},
		"changed by one":            {values{"a": 1, "b": 1}, values{"a": 2, "b": 1}, values{"a": 1, "b": 3}, values{"a": 2, "b": 3}},
		"changed by both":           {values{"a": 1}, values{"a": 2}, values{"a": 3}, values{"a": 2}},
		"removed here":              {values{"a": 1, "b": 1}, values{"b": 1}, values{"a": 1, "b": 2}, values{"b": 2}},
		"removed there":             {values{"a": 1, "b": 1}, values{"a": 1, "b": 1}, values{"b": 1}, values{"b": 1}},
		"removed here, changed":     {values{"a": 1}, values{}, values{"a": 2}, values{}},
		"changed here, removed":     {values{"a": 1}, values{"a": 2}, values{}, values{"a": 2}},
		"cleared":                   {values{"a": 1, "b": 1}, values{}, values{"a": 1, "b": 1, "c": 1}, values{"c": 1}},
		"nil value":                 {values{}, values{"a": nil}, values{}, values{"a": nil}},
		"flashes of both":           {values{}, values{"f": list("x")}, values{"f": list("y")}, values{"f": list("y", "x")}},
		"flashes of both, after":    {values{"f": list(1)}, values{"f": list(1, 2)}, values{"f": list(1, 3)}, values{"f": list(1, 3, 2)}},
		"flash taken, another came": {values{"f": list(1)}, values{}, values{"f": list(1, 2)}, values{"f": list(2)}},
		"flash taken by both":       {values{"f": list(1)}, values{}, values{}, values{}},
		"flash taken there":         {values{"f": list(1)}, values{"f": list(1, 2)}, values{}, values{"f": list(2)}},
		"list replaced":             {values{"f": list(1)}, values{"f": list(9)}, values{"f": list(1, 2)}, values{"f": list(9)}},
	} {
		require.Equal(t, tc.want, merge.Values(tc.base, tc.mine, tc.now), name)
	}
}

// Whatever two requests do to different keys, both orders end the same way and nothing is lost.
func TestDisjointChangesCommute(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.MapOf(rapid.SampledFrom([]string{"a", "b", "c", "d"}), rapid.IntRange(0, 3))
		base, mine, other := values{}, values{}, values{}
		for k, v := range gen.Draw(t, "base") {
			base[k], mine[k], other[k] = v, v, v
		}

		change := func(to values, keys []string, label string) {
			for _, k := range keys {
				switch v := rapid.IntRange(-1, 3).Draw(t, label); v {
				case -1:
					delete(to, k)
				default:
					to[k] = v
				}
			}
		}
		change(mine, []string{"a", "b"}, "mine")
		change(other, []string{"c", "d"}, "other")
		require.Equal(t, merge.Values(base, mine, other), merge.Values(base, other, mine))
		require.Equal(t, mine, merge.Values(base, mine, base))
		require.Equal(t, other, merge.Values(base, base, other))
	})
}
