package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgxlisten"
	"github.com/lib/pq"
)

// lruSize is the room of the caches that are golang-lru behind a listener.
const lruSize = 10_000

// readThrough is what one writes around an LRU: what is not there is loaded, and kept.
func readThrough(c *lru.Cache[int64, int64], load func(context.Context, int64) (int64, error)) func(context.Context, int64) (int64, error) {
	return func(ctx context.Context, key int64) (int64, error) {
		if version, ok := c.Get(key); ok {
			return version, nil
		}
		version, err := load(ctx, key)
		if err == nil {
			c.Add(key, version)
		}
		return version, err
	}
}

// dropNamed removes what a message names.
func dropNamed(c *lru.Cache[int64, int64], message string) {
	if key, err := strconv.ParseInt(message, 10, 64); err == nil {
		c.Remove(key)
	}
}

// notifyInTx sends the key in the transaction that changes the row.
func notifyInTx(w *staleWorld, channel string) func(ctx context.Context, key, version int64, end ending) error {
	return func(ctx context.Context, key, version int64, end ending) error {
		return w.inTx(ctx, key, version, end, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `SELECT pg_notify($1, $2)`, channel, strconv.FormatInt(key, 10))
			return err
		})
	}
}

// dropper is a pgxlisten.Handler, and a BacklogHandler: what was missed while
// there was no connection is dropped with all the rest.
type dropper struct{ c *lru.Cache[int64, int64] }

func (d dropper) HandleNotification(_ context.Context, n *pgconn.Notification, _ *pgx.Conn) error {
	dropNamed(d.c, n.Payload)
	return nil
}

func (d dropper) HandleBacklog(context.Context, string, *pgx.Conn) error { //nolint:unparam // an interface of pgxlisten
	d.c.Purge()
	return nil
}

func stalePgxlisten(ctx context.Context, w *staleWorld) (*staleSide, error) {
	const channel = "stale_pgxlisten"
	c, err := lru.New[int64, int64](lruSize)
	if err != nil {
		return nil, err
	}
	listener := &pgxlisten.Listener{Connect: w.listen, ReconnectDelay: time.Second}
	listener.Handle(channel, dropper{c})
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { _ = listener.Listen(ctx) }) // ends with ctx, and with its error

	s := &staleSide{
		name:  "pgxlisten + LRU",
		about: "pg_notify in the transaction; a BacklogHandler that drops all whenever it has connected; ReconnectDelay 1 s, where the default is a minute",
	}
	s.get, s.change = readThrough(c, s.load(w)), notifyInTx(w, channel)
	s.close = func() error {
		cancel()
		done.Wait()
		return nil
	}
	return s, nil
}

func stalePQ(_ context.Context, w *staleWorld) (*staleSide, error) {
	const channel = "stale_pq"
	c, err := lru.New[int64, int64](lruSize)
	if err != nil {
		return nil, err
	}
	listener := pq.NewListener(w.listenDSN(), time.Second, 10*time.Second, nil)
	if err := listener.Listen(channel); err != nil {
		return nil, fmt.Errorf("lib/pq: %w", err)
	}
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		ping := time.NewTicker(90 * time.Second)
		defer ping.Stop()
		for {
			select {
			case n := <-listener.Notify:
				if n == nil { // it has connected again
					c.Purge()
				} else {
					dropNamed(c, n.Extra)
				}
			case <-ping.C:
				done.Go(func() { _ = listener.Ping() }) // its error ends the connection, and it connects again
			case <-quit:
				return
			}
		}
	})

	s := &staleSide{
		name:  "lib/pq + LRU",
		about: "pg_notify in the transaction; all is dropped at the nil notification of a reconnect; a Ping every 90 s, as its example has it; reconnects after 1 to 10 s, where the example has 10 s to a minute",
	}
	s.get, s.change = readThrough(c, s.load(w)), notifyInTx(w, channel)
	s.close = func() error {
		close(quit)
		err := listener.Close()
		done.Wait()
		return err
	}
	return s, nil
}
