package fill

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// A tag that is given twice counts once, and what was acquired is released to the last.
func TestTagBook_Acquire(t *testing.T) {
	t.Parallel()
	b := NewTagBook()
	tags := []string{"x", "y", "x", "", "x"}
	for i := range 20_000 { // many are linear: this would take minutes otherwise
		tags = append(tags, strconv.Itoa(i))
	}
	given := append([]string(nil), tags...)
	start := b.Begin()
	marks, ok := b.Acquire(start, tags)
	require.True(t, ok)
	require.Equal(t, given, tags, "the caller's slice is left alone")
	require.Len(t, marks, 20_003)
	again, ok := b.Acquire(start, []string{"x"})
	require.True(t, ok)
	require.Equal(t, 2, again[0].refs)

	require.True(t, b.Invalidate("y"))
	for _, m := range marks {
		require.Equal(t, m.name == "y", m.dead.Load())
	}
	_, ok = b.Acquire(start, []string{"z", "y"})
	require.False(t, ok, "it was invalidated since the load began")
	b.End(start)
	b.Release(marks)
	require.Equal(t, 1, b.marks.Len())
	b.Release(again)
	require.Zero(t, b.marks.Len())
}
