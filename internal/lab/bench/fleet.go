package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
)

// fleet is many pods in this process. They share one pool for their
// transactions; each has the two connections of its bus to itself.
type fleet []*pod

// starting is how many pods start at once: a login takes both sides some
// milliseconds of processor time.
const starting = 4

// startFleet returns when every pod is in sync and knows how many there are,
// which decides how often it announces. It calls f with the number of the pod.
func startFleet(ctx context.Context, pool *pgxpool.Pool, n int, cfg bus.Config, f func(pod int, d bus.Delivery)) (_ fleet, err error) {
	pods := make(fleet, n)
	defer func() {
		if err != nil {
			err = errors.Join(err, stopAll(pods))
		}
	}()

	errs := make([]error, n)
	var all sync.WaitGroup
	turn := make(chan struct{}, starting)
	for i := range pods {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			own := cfg
			own.Name, own.Logger = "pod "+strconv.Itoa(i), warnings()
			pods[i], errs[i] = startPod(ctx, pool, own, func(d bus.Delivery) { f(i, d) })
		})
	}

	all.Wait()

	if err := errors.Join(errs...); err != nil {
		return nil, err
	}

	err = eventually(ctx, func() bool {
		for _, p := range pods {
			if p.Stats().Pods != n {
				return false
			}
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("not every pod knows of the %d pods: %w", n, err)
	}

	return pods, nil
}

// warnings is a logger for many pods: that each of them goes live is no news.
func warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// notifies is how many NOTIFY statements all pods have sent.
func (f fleet) notifies() (sum int64) {
	for _, p := range f {
		sum += p.Stats().Notifies
	}
	return sum
}

// String is what the pods did.
func (f fleet) String() string {
	var sum bus.Stats
	sweeping := 0
	for _, p := range f {
		s := p.Stats()
		sum.Published += s.Published
		sum.Announced += s.Announced
		sum.Swept += s.Swept
		sum.Notifies += s.Notifies
		sum.Marks += s.Marks
		sum.Sweeps += s.Sweeps
		sum.Beats += s.Beats
		sum.Gaps += s.Gaps
		sum.Statements += s.Statements

		if s.Marks > 0 {
			sweeping++
		}
	}

	return fmt.Sprintf("%d published, %d announced, %d swept in %d sweeps of %d pods, %d notifies, %d marks, %d beats, %d gaps, %d statements",
		sum.Published, sum.Announced, sum.Swept, sum.Sweeps, sweeping, sum.Notifies, sum.Marks, sum.Beats, sum.Gaps, sum.Statements)
}

// troubleOf is what makes the figures those of something else, such as of a
// machine that is busy with other work; empty for none. The one reset is that of
// the start.
func troubleOf(pods []*pod) string {
	var out []string
	for i, p := range pods {
		if s := p.Stats(); s.State != bus.Live || s.Resets > 1 || s.Reconnects+s.Overflows > 0 {
			out = append(out, fmt.Sprintf("pod %d is %s after %d resets, %d reconnects, %d overflows",
				i, s.State, s.Resets, s.Reconnects, s.Overflows))
		}
	}
	return strings.Join(out, "; ")
}

// stopAll stops all pods at once; those that never started are nil.
func stopAll(pods []*pod) error {
	return together(len(pods), func(i int) error {
		if pods[i] == nil {
			return nil
		}
		return pods[i].stop()
	})
}
