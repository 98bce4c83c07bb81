package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// schedule is what happens in a round, step by step: each begins when all pods are in sync again after the one before.
type schedule []step

// step is one fault, or two at once.
type step []strike

// strike is a fault of a step and how long after the step's beginning it comes.
type strike struct {
	fault soakFault
	after time.Duration
}

// secondAfter is how long after the first fault of a step the second comes, at the most.
const secondAfter = time.Second

// chance draws the steps of a round one after the other. Equal seeds draw equal steps.
type chance struct {
	random *rand.Rand
	all    []soakFault
}

func newChance(seed uint64, all []soakFault) *chance {
	return &chance{random: rand.New(rand.NewPCG(seed, 0)), all: all} //nolint:gosec // it is to be repeatable
}

// next draws a step: of two there are about as many as of one.
func (c *chance) next() step {
	first := c.all[c.random.IntN(len(c.all))]
	st := step{{fault: first}}
	second, after := c.all[c.random.IntN(len(c.all))], time.Duration(c.random.Int64N(int64(secondAfter)))
	if c.random.IntN(3) > 0 && first.class != alone && second.class != alone && first.class != second.class {
		st = append(st, strike{second, after.Round(time.Millisecond)})
	}
	return st
}

// String is the schedule as --schedule takes it: steps apart by commas, faults of a step by a plus sign, each of them
// behind an @ with its time if it does not come at once.
func (s schedule) String() string {
	steps := make([]string, 0, len(s))
	for _, st := range s {
		steps = append(steps, st.String())
	}
	return strings.Join(steps, ",")
}

func (s step) String() string {
	var names []string
	for _, f := range s {
		name := f.fault.name
		if f.after > 0 {
			name += "@" + f.after.String()
		}
		names = append(names, name)
	}
	return strings.Join(names, "+")
}

// parseSchedule reads what String writes. An empty text is a round in which nothing happens.
func parseSchedule(text string, all []soakFault) (schedule, error) {
	s := schedule{}
	if text == "" {
		return s, nil
	}

	for part := range strings.SplitSeq(text, ",") {
		var st step
		for word := range strings.SplitSeq(part, "+") {
			name, after, timed := strings.Cut(word, "@")
			i := slices.IndexFunc(all, func(f soakFault) bool { return f.name == name })
			if i < 0 {
				return nil, fmt.Errorf("--schedule: no fault %q that a soak can bring about here", name)
			}

			hit := strike{fault: all[i]}
			if timed {
				var err error
				if hit.after, err = time.ParseDuration(after); err != nil {
					return nil, fmt.Errorf("--schedule: %w", err)
				}
			}

			st = append(st, hit)
		}

		s = append(s, st)
	}

	return s, nil
}

// place is where a fault is in a schedule.
type place struct{ step, strike int }

// places are those of all its faults.
func (s schedule) places() (all []place) {
	for i, st := range s {
		for j := range st {
			all = append(all, place{i, j})
		}
	}
	return all
}

// only is the schedule with the faults at these places and no others.
func (s schedule) only(kept []place) schedule {
	out := schedule{}
	for i, st := range s {
		var left step
		for j, hit := range st {
			if slices.Contains(kept, place{i, j}) {
				left = append(left, hit)
			}
		}
		if len(left) > 0 {
			out = append(out, left)
		}
	}
	return out
}

// minimise finds a small part of a list that still fails, by delta debugging (Zeller and Hildebrandt, 2002): it tries ever
// finer parts and their complements. It ends early, with the best so far, when fails says to stop.
func minimise[T any](all []T, fails func([]T) (failed, stop bool)) []T {
	try := func(some []T) (bool, bool) { return fails(some) }
	if failed, stop := try(nil); failed || stop {
		if failed {
			return nil
		}
		return all
	}

	for parts := 2; len(all) > 1; {
		size := (len(all) + parts - 1) / parts
		reduced := false
		for begin := 0; begin < len(all) && !reduced; begin += size {
			end := min(begin+size, len(all))
			part := slices.Clone(all[begin:end])
			rest := slices.Concat(all[:begin], all[end:])
			for _, some := range [][]T{part, rest} {
				if len(some) == len(all) || len(some) == 0 {
					continue
				}

				failed, stop := try(some)
				if failed {
					all, reduced = some, true
					break
				}

				if stop {
					return all
				}
			}
		}

		switch {
		case reduced:
			parts = max(2, min(parts-1, len(all)))
		case size == 1:
			return all
		default:
			parts = min(2*parts, len(all))
		}
	}

	return all
}
