package main

import (
	"context"
	"time"
)

// networkFaults are the network's, between the pods and a server that is well. The first pod's network is well too,
// where others are cut off: there is somebody to write what the others miss.
func networkFaults() []fault {
	both := []toxic{blackHole(upstream), blackHole(downstream)}
	delay := func(stream string) toxic {
		return toxic{Type: "latency", Stream: stream, Attributes: map[string]int{"latency": 50}}
	}
	rate := func(stream string) toxic {
		return toxic{Type: "bandwidth", Stream: stream, Attributes: map[string]int{"rate": 10}}
	}
	slice := func(stream string) toxic {
		return toxic{Type: "slicer", Stream: stream, Attributes: map[string]int{"average_size": 12, "size_variation": 8, "delay": 50}}
	}
	row := func(name, about string, first int, paths []path, toxics ...toxic) fault {
		return fault{name: name, about: about, plan: plan{proxied: true}, inject: poisoned(first, paths, toxics...)}
	}
	slow := func(f fault) fault {
		f.plan.loads = loadTimes{Usually: 3 * time.Millisecond, Sometimes: 2 * time.Second, Often: 6}
		return f
	}
	return []fault{
		row("control-cut", "the control connections of two pods fall into a black hole", 1, []path{controlPath}, both...),
		row("listen-cut", "the listening connections of two pods fall into a black hole", 1, []path{listenPath}, both...),
		row("listen-cut-all", "the same for all pods: nobody is left to sweep", 0, []path{listenPath}, both...),
		row("blackhole-in", "nothing reaches two pods any more", 1, allPaths, blackHole(downstream)),
		row("blackhole-out", "nothing of two pods reaches the server any more", 1, allPaths, blackHole(upstream)),
		row("blackhole-both", "both", 1, allPaths, both...),
		slow(row("blackhole-slow-loads", "both, while loads that have read take seconds", 1, allPaths, both...)),
		row("latency-50ms", "50 ms in each direction, for all pods", 0, allPaths, delay(upstream), delay(downstream)),
		row("bandwidth-10kBs", "10 kB/s in each direction, for each connection", 0, allPaths, rate(upstream), rate(downstream)),
		row("sliced", "packets of a dozen bytes, for all pods", 0, allPaths, slice(upstream), slice(downstream)),
	}
}

// poisoned lets toxics work on paths of all pods but the first few.
func poisoned(first int, paths []path, toxics ...toxic) func(context.Context, *scene) error {
	return func(ctx context.Context, s *scene) error {
		for _, l := range s.links[first:] {
			for _, way := range paths {
				if err := l.poison(way, toxics...); err != nil {
					return err
				}
			}
		}

		err := s.last(ctx)
		s.healed()

		for _, l := range s.links {
			l.heal(context.WithoutCancel(ctx))
		}

		return err
	}
}
