package cache

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Most of the newest are remembered with about their age, and hardly any other.
func TestGhosts(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 10, 1000, 20_000} {
		g, r := newGhosts(size), rand.New(rand.NewPCG(1, uint64(size)))
		hashes := make([]uint64, 4*size+20_000)
		for i := range hashes {
			hashes[i] = r.Uint64()
			g.add(hashes[i], 0)
		}
		require.LessOrEqual(t, len(g.slots), size+size/8+2*ghostBucket)

		known, others := 0, 0 // others have the same print in the same bucket
		for i := range size {
			age, ok := g.take(hashes[len(hashes)-1-i])
			if !ok {
				continue
			}
			known++
			if age < i-g.unit-1 || age > i+g.unit+1 {
				others++
			}
		}
		require.GreaterOrEqual(t, known, size*85/100)
		require.LessOrEqual(t, others, size/1000)

		wrong := 0
		for range 100_000 {
			if _, ok := g.take(r.Uint64()); ok {
				wrong++
			}
		}
		require.Less(t, wrong, 100)
		for _, h := range hashes[:size] {
			if _, ok := g.take(h); ok {
				wrong++
			}
		}
		require.Less(t, wrong, 100+size/10, "old ones are forgotten")
	}
}

// What is added as if it were older is forgotten earlier.
func TestGhosts_Ago(t *testing.T) {
	t.Parallel()
	g := newGhosts(100)
	g.add(1, 90)
	age, ok := g.take(1)
	require.True(t, ok)
	require.Equal(t, 90, age)
	_, ok = g.take(1)
	require.False(t, ok, "it was taken")
	g.add(1<<30, 90)

	for i := range 20 {
		g.add(uint64(i+5)<<40, 0)
	}

	_, ok = g.take(1 << 30)
	require.False(t, ok)
}
