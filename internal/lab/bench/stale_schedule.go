package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
)

// schedulePlan is how long the schedule of faults of the command stale takes.
type schedulePlan struct {
	Faults []string      // names; nil: all
	Lead   time.Duration // before a fault strikes
	Length time.Duration // that rows change, from the beginning, and for as long as the fault lasts
	Watch  time.Duration // that reads go on afterwards
}

// What every side does under every fault.
const (
	staleKeys    = 16 // rows of a side under one fault; each fault has rows of its own
	staleReaders = 4
	readPause    = 10 * time.Millisecond
	changePause  = 60 * time.Millisecond
	retryPause   = 20 * time.Millisecond
)

// measureSchedule runs all sides through all faults at once. Why tells if it cannot run here.
func measureSchedule(ctx context.Context, r *report, plan schedulePlan) (why string, err error) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return redistest.ErrUnavailable.Error(), nil
	}
	if _, err := pgtest.FindBouncer(); err != nil {
		return err.Error(), nil
	}
	w, err := startStaleWorld(ctx, staleKeys*len(staleFaults)*len(staleMakers))
	if errors.Is(err, pgtest.ErrUnsupported) {
		return err.Error(), nil
	}
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, w.close()) }()

	var sides []*staleSide
	defer func() {
		for _, s := range sides {
			err = errors.Join(err, s.close())
		}
	}()
	for _, start := range staleMakers {
		s, err := start(ctx, w)
		if err != nil {
			return "", err
		}
		sides = append(sides, s)
	}
	found := make([][]*staleTally, len(sides)) // by side and fault; nil: left out
	for i := range found {
		found[i] = make([]*staleTally, len(staleFaults))
	}
	for i, fault := range staleFaults {
		if plan.Faults != nil && !slices.Contains(plan.Faults, fault.name) {
			continue
		}
		tallies, err := runFault(ctx, w, plan, fault, i, sides)
		if err != nil {
			return "", fmt.Errorf("%s: %w", fault.name, err)
		}
		for side, t := range tallies {
			found[side][i] = t
		}
	}
	reportSchedule(r, sides, found)
	return "", nil
}

// runFault has every side read and change its rows while a fault strikes.
func runFault(ctx context.Context, w *staleWorld, plan schedulePlan, fault staleFault, number int, sides []*staleSide) ([]*staleTally, error) {
	w.slow.Store(fault.slow)
	defer w.slow.Store(false)
	if fault.mend != nil {
		defer fault.mend(w)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	tallies := make([]*staleTally, len(sides))
	changing, reading := make(chan struct{}), make(chan struct{})
	var writers, readers sync.WaitGroup
	for i, s := range sides {
		t := &staleTally{loads: -s.loads.Load()}
		tallies[i] = t
		one := &staleRun{side: s, tally: t, first: int64((number*len(sides) + i) * staleKeys), fault: fault}
		writers.Go(func() { one.change(ctx, changing) })
		for range staleReaders {
			readers.Go(func() {
				if err := one.read(ctx, reading); err != nil {
					cancel(fmt.Errorf("%s: %w", s.name, err))
				}
			})
		}
	}

	begin := time.Now()
	sleep(ctx, plan.Lead)
	if fault.strike != nil {
		if err := fault.strike(ctx, w); err != nil { // the world is broken for good: changes would be tried again without end
			cancel(fmt.Errorf("strike: %w", err))
		}
	}
	sleep(ctx, max(plan.Length-time.Since(begin), plan.Watch/2)) // changes go on for a while after the fault
	close(changing)
	writers.Wait()
	sleep(ctx, plan.Watch)
	close(reading)
	readers.Wait()
	for i, s := range sides {
		tallies[i].loads += s.loads.Load()
	}
	return tallies, context.Cause(ctx)
}

// staleRun is one side under one fault.
type staleRun struct {
	side  *staleSide
	tally *staleTally
	fault staleFault
	first int64 // of its rows
	rows  [staleKeys]staleRow
}

// change changes one row after the other until it is told to stop, and tries
// again what failed, as an application would.
func (s *staleRun) change(ctx context.Context, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		case <-time.After(changePause):
		}

		end := committedAndTold
		if s.fault.ending != nil {
			end = s.fault.ending(n)
		}
		row := rand.IntN(staleKeys)
		version, failures := s.rows[row].begin(), 0
		for {
			attempt, cancel := context.WithTimeout(ctx, changeTimeout)
			err := s.side.change(attempt, s.first+int64(row), version, end)
			cancel()
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return
			}
			failures++

			select {
			case <-stop: // it may have been committed: the oracle allows both
				s.tally.changed(failures)
				return
			default:
			}

			sleep(ctx, retryPause)
		}
		if end != rolledBack {
			s.rows[row].committed(version)
		}
		s.tally.changed(failures)
	}
}

// read reads rows until it is told to stop. Only what cannot be is an error.
func (s *staleRun) read(ctx context.Context, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return nil
		case <-time.After(readPause):
		}

		row := rand.IntN(staleKeys)
		attempt, cancel := context.WithTimeout(ctx, readTimeout)
		begun := time.Now()
		version, err := s.side.get(attempt, s.first+int64(row))
		cancel()
		if err != nil {
			s.tally.refuse()
			continue
		}
		age, err := s.rows[row].age(version, begun)
		if err != nil {
			return err
		}
		s.tally.read(age, bus.DefaultStaleAfter+grace)
	}
}

// reportSchedule adds a row for each side, and the pictures.
func reportSchedule(r *report, sides []*staleSide, found [][]*staleTally) {
	reads := panel{Kind: kindHeat}
	ages := panel{Kind: kindHeat}
	for _, fault := range staleFaults {
		reads.Labels, ages.Labels = append(reads.Labels, fault.name), append(ages.Labels, fault.name)
	}

	r.row()
	r.row("under all faults", "reads checked", "stale", "stale > 3 s", "worst age, s", "refused", "loads", "changes", "tried again")
	for i, s := range sides {
		total, count, age := &staleTally{}, series{Name: s.name}, series{Name: s.name}
		for j, t := range found[i] {
			if t == nil {
				count.Y, age.Y = append(count.Y, -1), append(age.Y, -1)
				continue
			}
			total.add(t)
			count.Y = append(count.Y, float64(t.stale))
			age.Y = append(age.Y, float64(t.worst.Milliseconds()/100)/10)
			r.add(newFigure("stale.reads."+s.name+"."+staleFaults[j].name, "stale answers", []float64{float64(t.stale)}))
			r.add(newFigure("stale.age_s."+s.name+"."+staleFaults[j].name, "s", []float64{t.worst.Seconds()}))
		}
		reads.Lines, ages.Lines = append(reads.Lines, count), append(ages.Lines, age)
		r.row(s.name, total.checked, total.stale, total.late, number(total.worst.Seconds()), total.refused, total.loads, total.changes, total.failed)
		r.result("stale.faults."+slug(s.name), float64(total.stale))
		r.result("stale.faults.worst_s."+slug(s.name), total.worst.Seconds())
		if i == 0 {
			r.result("stale.faults.beyond_bound", float64(total.late))
		}
		r.Counts["set-up of "+s.name] = s.about
	}
	for _, fault := range staleFaults {
		r.Counts["fault "+fault.name] = fault.about
	}
	r.row()
	r.row(append([]any{"stale reads, and the worst age in seconds"}, anys(reads.Labels)...)...)
	for i, s := range sides {
		cells := []any{s.name}
		for _, t := range found[i] {
			switch {
			case t == nil:
				cells = append(cells, "–")
			case t.stale == 0:
				cells = append(cells, "0")
			default:
				cells = append(cells, fmt.Sprintf("%d (%.1f)", t.stale, t.worst.Seconds()))
			}
		}
		r.row(cells...)
	}
	r.chart(chart{Name: "stale", Title: "Stale reads by fault: values that had been replaced more than a quarter of a second before the read began", Panels: []panel{reads}})
	r.chart(chart{Name: "stale-age", Title: "Age of the oldest value that was read, in seconds, by fault", Panels: []panel{ages}})
}

func anys(words []string) (out []any) {
	for _, word := range words {
		out = append(out, word)
	}
	return out
}
