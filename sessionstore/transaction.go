package sessionstore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// changes are what a transaction makes invalid.
type changes struct {
	keys []string // cached sessions, and with cache.TagKey all of a user
	ends []string // sessions and users whose streams are to look whether they may go on
}

// endSuffix makes the topic that streams listen to. It is apart from the one of the cache, because a session's public id
// stays through rotation, and because saving data concerns no stream.
const endSuffix = ".end"

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

// transactor is a bus with transactions of its own.
type transactor interface {
	InTx(ctx context.Context, fn func(*bus.Tx) error) (bus.Receipt, error)
}

// work is what runs in a transaction.
type work func(tx pgx.Tx, c *changes) error

// inTx runs work in a transaction of its own and publishes what it changed when that commits.
func (s *Store[T]) inTx(ctx context.Context, do work) (bus.Receipt, error) {
	if t, ok := s.bus.(transactor); ok {
		return t.InTx(ctx, func(tx *bus.Tx) error { return s.join(tx, do) })
	}
	// A bus of one process: its caches hear of it after the commit.
	var c changes
	if err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return do(tx, &c) }); err != nil {
		return bus.Receipt{}, err
	}
	return s.bus.Publish(context.WithoutCancel(ctx), bus.Event{Topic: s.cfg.Topic, Keys: c.keys}, bus.Event{Topic: s.endTopic, Keys: c.ends})
}

// joinTx runs work in the caller's transaction, which publishes what it changed if and when it commits.
func (s *Store[T]) joinTx(tx pgx.Tx, do work) error {
	t, ok := bus.TxFrom(tx)
	if !ok {
		return ErrForeignTx
	}
	return s.join(t, do)
}

func (s *Store[T]) join(tx *bus.Tx, do work) error {
	// After an error as well: the caller may commit what was done before it.
	var c changes
	err := do(tx, &c)
	tx.Invalidate(s.cfg.Topic, c.keys...)
	tx.Invalidate(s.endTopic, c.ends...)
	return err
}

// outcomeUnknown says whether a commit may have happened all the same. The bus says so; that the connection was closed is
// no proof of the contrary either: pgx says it, too, when it was lost while the answer was awaited.
func outcomeUnknown(err error) bool {
	return errors.Is(err, bus.ErrOutcomeUnknown) || errors.Is(err, pgconn.ErrConnClosed)
}
