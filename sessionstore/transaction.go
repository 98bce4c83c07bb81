package sessionstore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// Topic is the topic of sessions on the bus. All stores on the same tables share it, whatever their data is, so each
// of them applies the changes that the others make.
const Topic = "session"

// endTopic is what streams listen to. It is apart from the one of the cache, because a session's public id stays through
// rotation, and because saving data concerns no stream.
const endTopic = Topic + ".end"

// changes are what a transaction makes invalid, and what is to be said of it.
type changes struct {
	keys   []string // cached sessions, and with cache.TagKey all of a user
	ends   []string // sessions and users whose streams are to be checked
	all    bool     // everything
	events []Event
}

func endOfSession(id string) string { return "s" + id }
func endOfUser(tag string) string   { return "u" + tag }

func (c *changes) session(keys ...key) {
	for _, k := range keys {
		c.keys = append(c.keys, k.String())
	}
}

func (c *changes) user(tag string) {
	c.keys = append(c.keys, cache.TagKey(tag))
	c.ends = append(c.ends, endOfUser(tag))
}

func (c *changes) end(id string) { c.ends = append(c.ends, endOfSession(id)) }

func (c *changes) event(e Event) { c.events = append(c.events, e) }

// busEvents are the changes as the bus takes them.
func (c *changes) busEvents() []bus.Event {
	if c.all {
		return []bus.Event{{Topic: Topic, All: true}, {Topic: endTopic, All: true}}
	}
	return []bus.Event{{Topic: Topic, Keys: c.keys}, {Topic: endTopic, Keys: c.ends}}
}

// transactor is a bus with transactions of its own.
type transactor interface {
	InTx(ctx context.Context, fn func(*bus.Tx) error) (bus.Receipt, error)
}

// work is what runs in a transaction.
type work func(tx pgx.Tx, c *changes) error

// inTx runs work in a transaction of its own and publishes what it changed when that commits.
func (s *Store[T]) inTx(ctx context.Context, do work) (receipt bus.Receipt, err error) {
	var c changes
	if t, ok := s.bus.(transactor); ok {
		receipt, err = t.InTx(ctx, func(tx *bus.Tx) error {
			c = changes{}
			return join(tx, &c, do)
		})
	} else if err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return do(tx, &c) }); err == nil {
		// A bus of one process: its caches hear of it after the commit.
		receipt, err = s.bus.Publish(context.WithoutCancel(ctx), c.busEvents()...)
	}

	if err != nil {
		return receipt, err
	}

	s.emit(ctx, c.events, false)
	return receipt, nil
}

// joinTx runs work in the caller's transaction, which publishes what it changed if and when it commits.
func (s *Store[T]) joinTx(ctx context.Context, tx pgx.Tx, do work) error {
	t, ok := bus.TxFrom(tx)
	if !ok {
		return ErrForeignTx
	}
	var c changes
	if err := join(t, &c, do); err != nil {
		return err
	}
	s.emit(ctx, c.events, true)
	return nil
}

func join(tx *bus.Tx, c *changes, do work) error {
	// After an error as well: the caller may commit what was done before it.
	err := do(tx, c)
	for _, e := range c.busEvents() {
		if e.All {
			tx.InvalidateAll(e.Topic)
		} else {
			tx.Invalidate(e.Topic, e.Keys...)
		}
	}
	return err
}

// outcomeUnknown reports whether a commit may have happened all the same. The bus says so; that the connection was closed is
// no proof of the contrary either: pgx says it, too, when it was lost while the answer was awaited.
func outcomeUnknown(err error) bool {
	return errors.Is(err, bus.ErrOutcomeUnknown) || errors.Is(err, pgconn.ErrConnClosed)
}
