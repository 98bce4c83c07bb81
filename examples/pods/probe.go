package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// probeAccount is the account that single writes are measured on.
const probeAccount = "alice"

// write changes the account once, and returns when the commit was done.
type write func(ctx context.Context) (committed time.Time, err error)

// delays has, per pod, the times from a commit until the pod first served it.
type delays map[string][]time.Duration

// probe measures one write: it fills the pods' caches with probeAccount, reads from all pods without a pause, writes, and
// records when each pod first served the new version.
func (s *story) probe(ctx context.Context, t *tally, pods []target, do write, into delays) error {
	before, err := s.truth(ctx, probeAccount)
	if err != nil {
		return err
	}

	for _, p := range pods {
		if err := s.warm(ctx, t, p, probeAccount, before); err != nil {
			return err
		}
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	seen := make([]time.Time, len(pods))
	var wg sync.WaitGroup
	for i, p := range pods {
		wg.Go(func() { seen[i] = s.firstSeen(ctx, t, p, probeAccount, before+1) })
	}

	committed, err := do(ctx)
	if err != nil {
		cancel()
		wg.Wait()
		return err
	}

	late := time.AfterFunc(bound+time.Second, cancel)
	wg.Wait()
	late.Stop()

	for i, p := range pods {
		if seen[i].IsZero() {
			t.fail("pod %s did not serve version %d of %s within %s", p.name, before+1, probeAccount, ms(bound+time.Second))
			continue
		}

		// A pod may serve the version before the writer's commit returns.
		delay := max(0, seen[i].Sub(committed))
		into[p.name] = append(into[p.name], delay)
		t.behind(p.name, delay)
	}

	return nil
}

// warm reads until a pod serves the version from its cache, so that a change needs an invalidation.
func (s *story) warm(ctx context.Context, t *tally, p target, id string, version int64) error {
	var last reply
	ok, err := every(ctx, time.Millisecond, bound+time.Second, func() bool {
		r, err := s.read(ctx, t, p, id)
		last = r
		return err == nil && r.Cached && r.Version == version
	})
	if err == nil && !ok {
		err = fmt.Errorf("%w: pod %s does not have version %d of %s in its cache, last response: %+v", errGaveUp, p.name, version, id, last)
	}
	return err
}

// firstSeen returns when a pod first served the version or a later one, and zero if ctx ended before.
func (s *story) firstSeen(ctx context.Context, t *tally, p target, id string, version int64) time.Time {
	for sleep(ctx, 200*time.Microsecond) == nil {
		if r, err := s.read(ctx, t, p, id); err == nil && r.Version >= version {
			return time.Now()
		}
	}
	return time.Time{}
}

// String returns the median and the longest delay per pod.
func (d delays) String() string {
	names := make([]string, 0, len(d))
	for name := range d {
		names = append(names, name)
	}

	slices.Sort(names)

	parts := make([]string, 0, len(d))
	for _, name := range names {
		sorted := slices.Sorted(slices.Values(d[name]))
		if len(sorted) == 1 {
			parts = append(parts, fmt.Sprintf("%s %s", name, ms(sorted[0])))
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %s (longest %s)", name, ms(sorted[len(sorted)/2]), ms(sorted[len(sorted)-1])))
	}

	return strings.Join(parts, ", ")
}

// ms formats a duration.
func ms(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
}
