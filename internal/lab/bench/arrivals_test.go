package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestArrivalsCountTheLastListenersFirstTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(2, 2)
		for event := range 2 {
			require.NoError(t, a.publish(event, func() error {
				time.Sleep(5 * time.Millisecond)
				return nil
			}))
		}

		time.Sleep(time.Millisecond)
		a.arrive(0, 0)
		require.Equal(t, 2, a.missing())
		time.Sleep(2 * time.Millisecond)
		a.arrive(1, 0)
		require.Equal(t, 1, a.missing())
		time.Sleep(time.Hour)
		a.arrive(1, 0)  // again
		a.arrive(0, 99) // of somebody else
		returned, called := a.delays()
		require.InDeltaSlice(t, []float64{8}, returned, 1e-9)
		require.InDeltaSlice(t, []float64{13}, called, 1e-9)
		require.ErrorContains(t, a.wait(t.Context()), "1 of 2 events did not reach every listener")
		a.arrive(0, 1)
		a.arrive(1, 1)
		require.NoError(t, a.wait(t.Context()))
	})
}

func TestArrivalBeforeTheReturnIsNegative(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(1, 1)
		require.NoError(t, a.publish(0, func() error {
			time.Sleep(time.Millisecond)
			a.arrive(0, 0)
			time.Sleep(2 * time.Millisecond)
			return nil
		}))
		returned, called := a.delays()
		require.InDeltaSlice(t, []float64{-2}, returned, 1e-9)
		require.InDeltaSlice(t, []float64{1}, called, 1e-9)
	})
}

func TestOpenLoopDoesNotWaitForSlowCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		at := make([]time.Duration, 3)
		err := openLoop(t.Context(), 3, begin.Add(time.Second), 10*time.Millisecond, func(_ context.Context, event int) error {
			at[event] = time.Since(begin)
			time.Sleep(time.Minute)
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, []time.Duration{1000e6, 1010e6, 1020e6}, at)
		require.Equal(t, time.Minute+1020*time.Millisecond, time.Since(begin), "it waits for all of them at the end")
	})
}

func TestOpenLoopEndsAtTheFirstError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		err := openLoop(t.Context(), 100, time.Now(), time.Second, func(context.Context, int) error {
			calls++
			return errors.New("broken")
		})
		require.EqualError(t, err, "broken")
		require.Equal(t, 1, calls)
	})
}
