package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgxlisten"
	"github.com/lib/pq"
)

// inTxNotify sends each event by NOTIFY in its transaction, and counts them.
type inTxNotify struct {
	pool  *pgxpool.Pool
	noted *arrivals
}

func (n *inTxNotify) listeners(pods int) int { return pods }

func (n *inTxNotify) publish(ctx context.Context, event int) error {
	return (&notify{pool: n.pool}).transact(ctx, int64(event))
}

// notifies counts the transactions: each has one.
func (n *inTxNotify) notifies() int64 { return n.noted.published() }

// fanPgxlisten is a pgxlisten.Listener for each pod.
type fanPgxlisten struct {
	inTxNotify
	connect func(context.Context) (*pgx.Conn, error)
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

func (f *fanPgxlisten) name() string  { return "pgxlisten" }
func (f *fanPgxlisten) title() string { return "pgxlisten" }

func (f *fanPgxlisten) start(ctx context.Context, listeners int, noted *arrivals) error {
	f.noted = noted
	ctx, f.cancel = context.WithCancel(ctx)
	ready := make(chan struct{}, listeners)
	for i := range listeners {
		l := &pgxlisten.Listener{Connect: f.connect, ReconnectDelay: time.Second}
		l.Handle(notifyChannel, earOf{i, noted, ready})
		f.done.Go(func() { _ = l.Listen(ctx) }) // ends with ctx, and with its error
	}
	return awaitReady(ctx, ready, listeners)
}

// awaitReady waits until all pods listen.
func awaitReady(ctx context.Context, ready <-chan struct{}, n int) error {
	timeout := time.NewTimer(4 * patience)
	defer timeout.Stop()
	for i := range n {
		select {
		case <-ready:
		case <-timeout.C:
			return fmt.Errorf("%d of %d pods listen", i, n)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// earOf is the handler of one pod.
type earOf struct {
	pod   int
	noted *arrivals
	ready chan<- struct{}
}

func (e earOf) HandleNotification(_ context.Context, n *pgconn.Notification, _ *pgx.Conn) error {
	if event, err := strconv.Atoi(n.Payload); err == nil {
		e.noted.arrive(e.pod, event)
	}
	return nil
}

func (e earOf) HandleBacklog(context.Context, string, *pgx.Conn) error { //nolint:unparam // an interface of pgxlisten
	select {
	case e.ready <- struct{}{}:
	default: // it has connected again
	}
	return nil
}

func (f *fanPgxlisten) stop() (did, trouble string, err error) {
	f.cancel()
	f.done.Wait()
	return "", "", nil
}

// fanPQ is a pq.Listener for each pod.
type fanPQ struct {
	inTxNotify
	dsn  string
	ears []*pq.Listener
	done sync.WaitGroup
}

func (f *fanPQ) name() string  { return "pq" }
func (f *fanPQ) title() string { return "lib/pq" }

func (f *fanPQ) start(_ context.Context, listeners int, noted *arrivals) error {
	f.noted = noted
	for i := range listeners {
		l := pq.NewListener(f.dsn, time.Second, 10*time.Second, nil)
		f.ears = append(f.ears, l)
		if err := l.Listen(notifyChannel); err != nil {
			_, _, stopErr := f.stop()
			return errors.Join(err, stopErr)
		}

		f.done.Go(func() {
			for n := range l.Notify {
				if n == nil { // it has connected again
					continue
				}
				if event, err := strconv.Atoi(n.Extra); err == nil {
					noted.arrive(i, event)
				}
			}
		})
	}

	return nil
}

func (f *fanPQ) stop() (did, trouble string, err error) {
	var errs []error
	for _, l := range f.ears {
		errs = append(errs, l.Close()) // closes its channel
	}
	f.ears = nil
	f.done.Wait()
	return "", "", errors.Join(errs...)
}
