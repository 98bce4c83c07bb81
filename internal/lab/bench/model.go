package main

import (
	"fmt"
	"math"
	"strconv"

	"gonum.org/v1/gonum/mat"
)

// model says how many processors a server is kept busy by so many pods and
// events: each event costs something by itself, each pod does while nothing
// happens, and each event costs something more for each pod that hears of it.
type model struct {
	event, pod, delivery float64 // seconds of processor time: of an event, of a pod in a second, of an event at a pod
	points               int
	off                  float64 // the typical distance between a point and the model, as a part of the point
}

func (m model) processors(pods, rate float64) float64 {
	return m.event*rate + m.pod*pods + m.delivery*pods*rate
}

// fitModel needs three points or more. It weighs points by their size, so that
// small clusters count as much as large ones. Parts that would come out below
// nothing are left out.
func fitModel(points []curvePoint) model {
	m := model{points: len(points)}
	terms := []*float64{&m.event, &m.pod, &m.delivery}
	used := []bool{true, true, true}

	if len(points) < len(terms) {
		return m
	}

	for {
		var columns []int
		for i, use := range used {
			if use {
				columns = append(columns, i)
			}
		}

		if len(columns) == 0 {
			return m
		}

		values := solve(points, columns)
		least, at := 0.0, -1
		for i, v := range values {
			if v < least || math.IsNaN(v) {
				least, at = v, columns[i]
			}
		}

		if at >= 0 {
			used[at] = false
			continue
		}

		for i, column := range columns {
			*terms[column] = values[i]
		}

		m.off = m.distance(points)
		return m
	}
}

// solve is the least squares of some of the terms.
func solve(points []curvePoint, columns []int) []float64 {
	a, b := mat.NewDense(len(points), len(columns), nil), mat.NewVecDense(len(points), nil)
	for i, p := range points {
		weight := 1 / max(p.servers, 0.01)
		term := []float64{float64(p.rate), float64(p.pods), float64(p.rate * p.pods)}
		for j, column := range columns {
			a.Set(i, j, weight*term[column])
		}
		b.SetVec(i, weight*p.servers)
	}

	var x mat.VecDense
	if err := x.SolveVec(a, b); err != nil {
		return make([]float64, len(columns)) // points that say nothing about a term
	}

	return x.RawVector().Data
}

func (m model) distance(points []curvePoint) float64 {
	var off []float64
	for _, p := range points {
		off = append(off, math.Abs(m.processors(float64(p.pods), float64(p.rate))-p.servers)/max(p.servers, 0.01))
	}
	return median(off)
}

// modelPods and modelRates are what the model is asked for.
var (
	modelPods  = []int{200, 1000, 5000}
	modelRates = []int{10, 100, 1000}
)

// report says what the model is, and what larger clusters need according to it.
func (m model) report(r *report, name string, points []curvePoint) {
	if len(points) == 0 {
		return
	}

	most := 0
	for _, p := range points {
		most = max(most, p.pods)
	}

	r.Counts["model of "+name] = fmt.Sprintf(
		"%.0f µs for an event, %.0f µs a second for a pod, %.1f µs for an event at a pod; fitted to %d points of up to %d pods, typically %.0f %% off",
		1e6*m.event, 1e6*m.pod, 1e6*m.delivery, m.points, most, 100*m.off)
	r.row()

	head := []any{name + ": server CPUs by the model"}
	for _, rate := range modelRates {
		head = append(head, strconv.Itoa(rate)+" events/s")
	}

	r.row(append(head, "connections")...)

	for _, pods := range modelPods {
		cells := []any{fmt.Sprintf("%d pods", pods)}
		for _, rate := range modelRates {
			v := m.processors(float64(pods), float64(rate))
			cells = append(cells, number(v))
			r.add(newFigure(fmt.Sprintf("delay.model.%s.%d.%d", name, pods, rate), "modelled processors", []float64{v}))
		}
		r.row(append(cells, connectionsOf[name]*pods)...)
	}
}
