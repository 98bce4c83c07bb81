package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPlanFanout(t *testing.T) {
	t.Parallel()

	pods := func(p fanoutPlan) (out []int) {
		for _, point := range p.Points {
			out = append(out, point.Pods)
		}
		return out
	}

	long := planFanout(1000, 50, false)
	require.Equal(t, []int{3, 10, 50, 200}, pods(long))
	require.Equal(t, time.Minute, time.Duration(long.Points[2].Rounds)*long.Points[2].Slot)
	require.Equal(t, []int{3, 10, 20, 50, 200}, pods(planFanout(1000, 20, false)))
	short := planFanout(1000, 20, true)
	require.Equal(t, []int{3, 10, 20, 50}, pods(short))
	require.Equal(t, 20, short.Main)
	require.Equal(t, 6*time.Second, time.Duration(short.Points[2].Rounds)*short.Points[2].Slot)
	require.Equal(t, []int{3, 10, 50}, pods(planFanout(1000, 50, true)))
}

// TestRowsAreEnough: each event of a slot updates a row of its own.
func TestRowsAreEnough(t *testing.T) {
	t.Parallel()
	for _, point := range planFanout(maxRate, 50, false).Points {
		require.Less(t, int((point.Slot+time.Second).Seconds())*maxRate, items)
	}
}
