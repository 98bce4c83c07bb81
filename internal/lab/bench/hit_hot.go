package main

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// hotProcessors is with how many of the scheduler's processors one key is read by as many goroutines: more than there may
// be, so that readers are interrupted in the middle of a read, as on a server that is busy.
const hotProcessors = 16

// measureHotKey adds to the report what reading one key from all processors takes.
func measureHotKey(ctx context.Context, pod *pod, rounds int, length time.Duration, r *report) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(hotProcessors))
	load := func(context.Context, string) (*thing, error) { return &thing{1}, nil }
	key := []string{"hot"}
	var hitters []*hitter
	for _, make := range []maker{oursOn(pod), makeOtter} {
		made, err := make(1000, load)
		if err != nil {
			return err
		}
		h := &hitter{subject: made, ns: map[int][]float64{}}
		defer h.end() //nolint:gocritic // there are two, and both live until the end
		if err := h.put(ctx, key[0], &thing{1}); err != nil {
			return err
		}
		hitters = append(hitters, h)
	}

	for round := range rounds {
		for i := range hitters {
			if err := hitters[(i+round)%len(hitters)].sample(ctx, key, hotProcessors, length); err != nil {
				return err
			}
		}
	}
	for _, h := range hitters {
		f := newFigure("hit.hot.ns."+h.name, "ns", h.ns[hotProcessors])
		r.add(f)
		r.row(fmt.Sprintf("%s, one key, GOMAXPROCS=%d", h.name, hotProcessors), hotProcessors, f.summary, "")
	}
	all, err := ratios(hitters[0].ns[hotProcessors], hitters[1].ns[hotProcessors])
	if err != nil {
		return err
	}
	f := newFigure("hit.hot.ratio.otter", "ratio", all)
	r.add(f)
	r.result(f.Name, f.Value)
	return nil
}
