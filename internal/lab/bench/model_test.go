package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestModel: a cluster that follows the model is found again, noise or not, and no part of it is below nothing.
func TestModel(t *testing.T) {
	t.Parallel()
	truth := model{event: 200e-6, pod: 1e-3, delivery: 8e-6}
	points := func(m model, noise ...float64) (points []curvePoint) {
		for _, pods := range []int{3, 10, 50, 200} {
			for _, rate := range []int{10, 100, 1000} {
				p := curvePoint{pods: pods, rate: rate, servers: m.processors(float64(pods), float64(rate))}
				if len(noise) > 0 {
					p.servers *= noise[len(points)%len(noise)]
				}
				points = append(points, p)
			}
		}
		return points
	}
	m := fitModel(points(truth))
	require.InEpsilon(t, truth.event, m.event, 1e-6)
	require.InEpsilon(t, truth.pod, m.pod, 1e-6)
	require.InEpsilon(t, truth.delivery, m.delivery, 1e-6)
	require.InDelta(t, 0, m.off, 1e-9)

	m = fitModel(points(truth, 1.1, 0.9, 1.05, 1, 0.95))
	require.InEpsilon(t, truth.processors(5000, 1000), m.processors(5000, 1000), 0.25)
	require.Positive(t, m.off)

	m = fitModel(points(model{pod: 1e-3}, 1.2, 0.8))
	require.GreaterOrEqual(t, m.event, 0.0)
	require.GreaterOrEqual(t, m.delivery, 0.0)
	require.Zero(t, fitModel(nil).processors(10, 10))
}
