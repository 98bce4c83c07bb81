package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
)

// fan is one way to tell many listeners of the same updates. What it needs is
// made by start, and nothing of it is left after stop, so that only one side of
// the comparison weighs on the machine at a time.
type fan interface {
	name() string
	title() string
	listeners(pods int) int

	// start lets the listeners note what arrives.
	start(ctx context.Context, listeners int, noted *arrivals) error

	// publish updates a row and tells of it. Many goroutines call it at once.
	publish(ctx context.Context, event int) error

	// notifies is how many NOTIFY statements there have been since start.
	notifies() int64

	// stop says what happened, and what disturbed it.
	stop() (did, trouble string, err error)
}

// fanBus is the library: as many pods as listen also publish.
type fanBus struct {
	pool *pgxpool.Pool
	pods fleet
}

func (f *fanBus) name() string           { return "bus" }
func (f *fanBus) title() string          { return "bus" }
func (f *fanBus) listeners(pods int) int { return pods }
func (f *fanBus) notifies() int64        { return f.pods.notifies() }

func (f *fanBus) start(ctx context.Context, listeners int, noted *arrivals) (err error) {
	f.pods, err = startFleet(ctx, f.pool, listeners, bus.Config{}, func(pod int, d bus.Delivery) {
		for _, key := range d.Keys {
			if event, err := strconv.Atoi(key); err == nil {
				noted.arrive(pod, event)
			}
		}
	})
	return err
}

func (f *fanBus) publish(ctx context.Context, event int) error {
	writer := ours{pool: f.pool, pod: f.pods[event%len(f.pods)]}
	return writer.transact(ctx, int64(event))
}

func (f *fanBus) stop() (did, trouble string, err error) {
	did, trouble = f.pods.String(), troubleOf(f.pods)
	return did, trouble, stopAll(f.pods)
}

// fanNotify is what most libraries do: each transaction has its NOTIFY in it,
// and each pod a connection that listens.
type fanNotify struct {
	pool    *pgxpool.Pool
	connect func(context.Context) (*pgx.Conn, error)
	ears    []*listener
	noted   *arrivals
}

func (f *fanNotify) name() string           { return "notify" }
func (f *fanNotify) title() string          { return "NOTIFY in each transaction" }
func (f *fanNotify) listeners(pods int) int { return pods }

func (f *fanNotify) start(ctx context.Context, listeners int, noted *arrivals) error {
	f.noted = noted
	for i := range listeners {
		l, err := listen(ctx, f.connect, func(payload string) {
			if event, err := strconv.Atoi(payload); err == nil {
				noted.arrive(i, event)
			}
		})
		if err != nil {
			_, _, stopErr := f.stop()
			return errors.Join(err, stopErr)
		}

		f.ears = append(f.ears, l)
	}

	return nil
}

func (f *fanNotify) publish(ctx context.Context, event int) error {
	return (&notify{pool: f.pool}).transact(ctx, int64(event))
}

// notifies counts the transactions: each has one.
func (f *fanNotify) notifies() int64 { return f.noted.published() }

func (f *fanNotify) stop() (did, trouble string, err error) {
	errs := make([]error, len(f.ears))
	for i, l := range f.ears {
		errs[i] = l.close()
	}
	did = fmt.Sprintf("%d listeners", len(f.ears))
	f.ears = nil
	return did, "", errors.Join(errs...)
}

// fanBare tells nobody: what the updates themselves cost.
type fanBare struct{ pool *pgxpool.Pool }

func (f *fanBare) name() string                                { return "bare" }
func (f *fanBare) title() string                               { return "the updates alone" }
func (f *fanBare) listeners(int) int                           { return 0 }
func (f *fanBare) start(context.Context, int, *arrivals) error { return nil }
func (f *fanBare) notifies() int64                             { return 0 }

func (f *fanBare) publish(ctx context.Context, event int) error {
	return (&bare{f.pool}).transact(ctx, int64(event))
}

func (f *fanBare) stop() (did, trouble string, err error) { return "", "", nil }
