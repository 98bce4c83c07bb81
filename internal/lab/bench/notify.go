package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// notify is the update and a NOTIFY in the same transaction, which is what most
// libraries do, with one connection that listens.
type notify struct {
	pool     *pgxpool.Pool
	connect  func(context.Context) (*pgx.Conn, error)
	listener *listener
}

const notifyChannel = "bench"

func (n *notify) name() string { return "notify" }

func (n *notify) start(ctx context.Context) (err error) {
	var count atomic.Int64
	n.listener, err = listen(ctx, n.connect, func(string) { count.Add(1) })
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	n.listener.count = &count
	return nil
}

func (n *notify) transact(ctx context.Context, id int64) error {
	tx, err := n.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // after Commit this does nothing

	if _, err := tx.Exec(ctx, update, id); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	if _, err := tx.Exec(ctx, `SELECT pg_notify($1, $2)`, notifyChannel, strconv.FormatInt(id, 10)); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("notify: %w", err)
	}

	return nil
}

func (n *notify) stop(ctx context.Context, commits int64) error {
	err := eventually(ctx, func() bool { return n.listener.count.Load() >= commits })
	if err != nil {
		err = fmt.Errorf("notify: %d of %d notifications arrived: %w", n.listener.count.Load(), commits, err)
	}
	return errors.Join(err, n.listener.close())
}

// listener is a connection that listens, and the goroutine that reads from it.
type listener struct {
	count  *atomic.Int64
	cancel context.CancelFunc
	done   sync.WaitGroup
	err    error // after done
}

// listen calls f for every payload, from the listener's goroutine.
func listen(ctx context.Context, connect func(context.Context) (*pgx.Conn, error), f func(payload string)) (*listener, error) {
	conn, err := connect(ctx)
	if err != nil {
		return nil, err
	}

	if _, err := conn.Exec(ctx, "LISTEN "+notifyChannel); err != nil {
		disconnect(conn)
		return nil, err
	}

	ctx, cancel := context.WithCancel(ctx)
	l := &listener{cancel: cancel}
	l.done.Go(func() {
		defer disconnect(conn)
		for {
			notification, err := conn.WaitForNotification(ctx)

			if ctx.Err() != nil {
				return
			}

			if err != nil {
				l.err = err
				return
			}

			f(notification.Payload)
		}
	})

	return l, nil
}

func (l *listener) close() error {
	l.cancel()
	l.done.Wait()
	return l.err
}

// patience bounds waits for what should come within milliseconds.
const patience = 15 * time.Second

// eventually waits until a condition holds.
func eventually(ctx context.Context, condition func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for tick := time.NewTicker(time.Millisecond); !condition(); {
		select {
		case <-ctx.Done():
			tick.Stop()
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}
