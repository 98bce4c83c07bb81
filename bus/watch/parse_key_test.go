package watch_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pgcoherence/pgcoherence/bus/watch"
)

// TestParseKey: what KeyOf makes of values, ParseKey makes values of again, and nothing else is accepted.
func TestParseKey(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.SampledFrom([]rune("%25C,a")), 0, 8, -1))
		values := rapid.SliceOfN(part, 1, 4).Draw(t, "values")
		got, err := watch.ParseKey(watch.KeyOf(values...), len(values))
		if err != nil || !slices.Equal(got, values) {
			t.Fatalf("%q: %q, %v", values, got, err)
		}

		text := part.Draw(t, "text")
		if got, err := watch.ParseKey(text, 2); err == nil && watch.KeyOf(got...) != text {
			t.Fatalf("%q is taken for %q", text, got)
		}
	})
	for _, bad := range []string{"", "a", "a,b,c", "a%,b", "a,%2c"} {
		_, err := watch.ParseKey(bad, 2)
		require.ErrorIs(t, err, watch.ErrInvalid, bad)
	}
}
