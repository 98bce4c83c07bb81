package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// staleSide is a pod with a cache that is read, and another pod that changes
// what is cached and does what its library asks of it.
type staleSide struct {
	name  string
	about string // how it is set up, and after which documentation
	get   func(ctx context.Context, key int64) (version int64, err error)

	// change updates the row. An error says that nobody knows whether it did.
	change func(ctx context.Context, key, version int64, end ending) error
	close  func() error

	loads atomic.Int64
}

// load is the loader of every side.
func (s *staleSide) load(w *staleWorld) func(ctx context.Context, key int64) (int64, error) {
	return func(ctx context.Context, key int64) (int64, error) {
		s.loads.Add(1)
		return w.read(ctx, key)
	}
}

// staleMakers are all sides, ours first.
var staleMakers = []func(context.Context, *staleWorld) (*staleSide, error){
	staleOurs, staleOursConfirmed, stalePgxlisten, stalePQ, staleRedisPubSub, staleRedisCache, staleRueidis, staleOtter, staleSturdyc,
}

const (
	nameOurs      = "ours"
	nameConfirmed = "ours, with Confirm"
)

func staleOurs(ctx context.Context, w *staleWorld) (*staleSide, error) {
	s := &staleSide{name: nameOurs, about: "cache.New and Tx.Invalidate with all defaults: StaleAfter 3 s, then reads go past the cache"}
	return s, startStaleOurs(ctx, w, s, "stale", func(context.Context, *pod, bus.Receipt) error { return nil })
}

// staleOursConfirmed returns from a change when no pod can serve the old value any more.
func staleOursConfirmed(ctx context.Context, w *staleWorld) (*staleSide, error) {
	s := &staleSide{name: nameConfirmed, about: "the same, and a change is over when Confirm has returned"}
	return s, startStaleOurs(ctx, w, s, "confirmed", func(ctx context.Context, p *pod, r bus.Receipt) error { return p.Confirm(ctx, r) })
}

func startStaleOurs(ctx context.Context, w *staleWorld, s *staleSide, topic string,
	after func(context.Context, *pod, bus.Receipt) error,
) (err error) {
	var pods []*pod
	var c *cache.Cache[int64, int64]
	s.close = func() error {
		if c != nil {
			_ = c.Close()
		}
		return stopAll(pods)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	for _, name := range []string{"reader", "writer"} {
		pool := w.reader
		if name == "writer" {
			pool = w.writer
		}
		p, err := startPod(ctx, pool, bus.Config{
			Name: topic + " " + name, Logger: slog.New(slog.DiscardHandler), // faults are no news here
			Connect: w.listen,
		}, nil)
		if err != nil {
			return err
		}
		pods = append(pods, p)
	}
	reader, writer := pods[0], pods[1]
	if c, err = cache.New(reader, topic, cache.Func(s.load(w)), nil); err != nil {
		return err
	}

	s.get = c.Get
	s.change = func(ctx context.Context, key, version int64, end ending) error {
		if end == publisherKilled { // the row in the log is all there is: nobody announces it
			return w.inTx(ctx, key, version, end, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, `SELECT pgcoherence.invalidate($1, $2)`, topic, strconv.FormatInt(key, 10))
				return err
			})
		}
		receipt, err := writer.InTx(ctx, func(tx *bus.Tx) error {
			_, err := tx.Exec(ctx, rowUpdate, key, version)
			tx.Invalidate(topic, strconv.FormatInt(key, 10))
			if end == rolledBack && err == nil {
				err = errRolledBack
			}
			return err
		})
		if errors.Is(err, errRolledBack) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("change: %w", err)
		}
		return after(ctx, writer, receipt)
	}
	return nil
}

var errRolledBack = errors.New("rolled back on purpose")

// changeTimeout bounds one attempt to change a row, and readTimeout a read.
const (
	changeTimeout = 5 * time.Second
	readTimeout   = time.Second
)
