package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"
)

// pace is how long a slot runs: before its transactions count, and while they
// do. Every slot begins with new statistics of the log's table, and so with new
// plans on every connection; the lead takes that out of the measurement.
type pace struct{ lead, length time.Duration }

// slot runs one variant for a while and answers its transactions per second.
// The garbage of others is collected before.
func slot(ctx context.Context, v variant, writers int, p pace) (rate float64, err error) {
	rate, _, err = slotCost(ctx, v, writers, p, nil)
	return rate, err
}

// slotCost also measures the processor time of a commit, unless cpu is nil.
func slotCost(ctx context.Context, v variant, writers int, p pace, cpu *processor) (rate float64, each work, err error) {
	if err := v.start(ctx); err != nil {
		return 0, work{}, err
	}

	runtime.GC()
	var commits int64
	contention := func(ctx context.Context) error {
		rate, commits, err = contend(ctx, v, writers, p)
		return err
	}

	// The label tells the variants apart in a profile of the whole run.
	pprof.Do(ctx, pprof.Labels("variant", v.name()), func(ctx context.Context) {
		if cpu == nil {
			err = contention(ctx)
			return
		}

		var other time.Duration
		each, err = cpu.during(func() (err error) {
			other, err = otherTime(ctx, v, contention)
			return err
		})
		each.server += other
	})

	if err == nil && rate == 0 {
		err = errors.New(v.name() + ": no commit in a whole slot")
	}

	if commits > 0 {
		each.server /= time.Duration(commits)
		each.client /= time.Duration(commits)
	}

	return rate, each, errors.Join(err, v.stop(ctx, commits))
}

// otherServer is a variant that keeps another server busy as well.
type otherServer interface {
	otherServer(ctx context.Context) (time.Duration, error)
}

// otherTime is the processor time that the other server of a variant takes for f, if there is one.
func otherTime(ctx context.Context, v any, f func(context.Context) error) (time.Duration, error) {
	other, ok := v.(otherServer)
	if !ok {
		return 0, f(ctx)
	}
	before, err := other.otherServer(ctx)
	if err != nil {
		return 0, err
	}
	if err := f(ctx); err != nil {
		return 0, err
	}
	after, err := other.otherServer(ctx)
	return after - before, err
}

// contend lets writers commit one transaction after the other until the time is
// over, and waits for those under way. No two ever update the same row at once.
// Commits are all there were, also in the lead.
func contend(ctx context.Context, v variant, writers int, p pace) (rate float64, commits int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	var over atomic.Bool
	var count atomic.Int64
	var wg sync.WaitGroup
	for w := range int64(writers) {
		wg.Go(func() {
			own := int64(items / writers)
			for !over.Load() && ctx.Err() == nil {
				if err := v.transact(ctx, w*own+rand.Int64N(own)); err != nil {
					cancel(err) // the first error counts; it ends the others
					return
				}
				count.Add(1)
			}
		})
	}

	sleep(ctx, p.lead)
	begin, before := time.Now(), count.Load()
	sleep(ctx, p.length)

	for count.Load() == before && ctx.Err() == nil && time.Since(begin) < patience {
		sleep(ctx, time.Millisecond) // on a busy machine a whole slot may pass without a commit
	}

	rate = float64(count.Load()-before) / time.Since(begin).Seconds()
	over.Store(true)
	wg.Wait()
	return rate, count.Load(), context.Cause(ctx)
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
