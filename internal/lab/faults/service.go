package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Service is what a pod does for its parent. Each call has its own goroutine.
type Service struct{ p *pod }

// View is what a pod answers.
type View struct {
	Versions []int64 // by key; absent for what it did not answer, or was not asked for
}

// Read reads, as the application would. Whatever it answers, from wherever, is judged.
func (s *Service) Read(_ int, out *View) error { //nolint:unparam // net/rpc wants an error
	out.Versions = s.p.items.read(s.p.ctx)
	return nil
}

// Held answers what the cache holds. It is an error while that is not all it can.
func (s *Service) Held(_ int, out *View) (err error) {
	out.Versions, err = s.p.items.held(s.p.ctx)
	return err
}

// Status is how a pod stands.
type Status struct {
	State bus.State
	Fresh bool
	Stats bus.Stats
	Cache CacheStats

	Touched, Conflicts int64 // of sessions
	Listens, Controls  int64 // the bus' own connections that were made by Config.Connect
}

// Status answers how the bus stands, and the cache.
func (s *Service) Status(_ int, out *Status) error { //nolint:unparam // net/rpc wants an error
	*out = Status{State: s.p.bus.State(), Fresh: s.p.bus.Fresh(), Stats: s.p.bus.Stats(), Cache: s.p.items.stats()}
	out.Listens, out.Controls = s.p.listens.Load(), s.p.controls.Load()
	return nil
}

// Missing is which events did not arrive, and when the recorder was last told to distrust all.
type Missing struct {
	Events  []int64
	Cleared time.Time
}

// Missing answers which of the events have not arrived.
func (s *Service) Missing(events []int64, out *Missing) error { //nolint:unparam // net/rpc wants an error
	out.Events, out.Cleared = s.p.recorder.missing(events)
	return nil
}

// Confirm waits until an event is confirmed.
func (s *Service) Confirm(receipt string, _ *int) error {
	var r bus.Receipt
	if err := r.UnmarshalText([]byte(receipt)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.p.ctx, s.p.cfg.Timing.Lease+2*time.Second)
	defer cancel()
	return s.p.bus.Confirm(ctx, r)
}

// Write is one write: the version of a key, which is also the event's number, by one of the paths.
type Write struct {
	Path    string
	Key     int
	Version int64
	Slow    time.Duration // how long it holds its transaction open, for slow paths
}

// slowly is how long a write holds its transaction open, id and all.
func (w Write) slowly() time.Duration { return w.Slow + rand.N(w.Slow+1) }

// paths are the ways by which a write publishes.
var paths = []string{"tx", "staged", "raw", "insql", "forgotten", "slow", "slowraw", "savepoint", "tag", "rawtag"}

const (
	writeTimeout = 2 * time.Second
	update       = "UPDATE item SET version = $2 WHERE key = $1 AND version < $2"
	note         = "INSERT INTO done (event) VALUES ($1)"
)

// Write writes and publishes; the answer is the receipt, empty for paths that give none.
func (s *Service) Write(w Write, receipt *string) error {
	ctx, cancel := context.WithTimeout(s.p.ctx, writeTimeout)
	defer cancel()
	r, err := s.p.write(ctx, w)
	*receipt = r.String()
	return err
}

func (p *pod) write(ctx context.Context, w Write) (bus.Receipt, error) {
	keys := w.keys()
	event := bus.Event{Topic: topic, Keys: keys}
	var staged *bus.Staged

	switch w.Path {
	case "tx", "tag", "slow", "savepoint":
		return p.bus.InTx(ctx, func(tx *bus.Tx) error {
			if err := change(ctx, tx, w); err != nil {
				return err
			}

			if w.Path == "savepoint" {
				return pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
					savepoint, _ := bus.TxFrom(inner)
					savepoint.Invalidate(topic, keys...)
					return nil
				})
			}

			tx.Invalidate(topic, keys...)

			if w.Path == "slow" {
				time.Sleep(w.slowly())
			}

			return nil
		})
	case "insql":
		db := stdlib.OpenDBFromPool(p.pool)
		defer func() { _ = db.Close() }() // nothing of its own to lose

		return p.bus.InSQL(ctx, db, func(tx *sql.Tx, s *bus.Staging) error {
			s.Invalidate(topic, keys...)
			if _, err := tx.ExecContext(ctx, update, w.Key, w.Version); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, note, w.Version)
			return err
		})
	}

	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) (err error) {
		if err := change(ctx, tx, w); err != nil {
			return err
		}

		if w.Path == "raw" || w.Path == "rawtag" || w.Path == "slowraw" {
			_, err = tx.Exec(ctx, "SELECT pgcoherence.invalidate($1, VARIADIC $2::text[])", topic, keys)
			if w.Path == "slowraw" {
				time.Sleep(w.slowly())
			}
			return err
		}

		staged, err = p.bus.Stage(ctx, tx, event)
		return err
	})
	switch {
	case err != nil || staged == nil || w.Path == "forgotten":
		return bus.Receipt{}, err
	case w.Path == "die":
		_ = kill(os.Getpid()) // between the commit and the announcement
	}

	return staged.Committed(), nil
}

// change writes the version, and that it did. Who finds a newer one there has no business any more.
func change(ctx context.Context, tx pgx.Tx, w Write) error {
	tag, err := tx.Exec(ctx, update, w.Key, w.Version)
	if err != nil {
		return err
	}
	if tag.RowsAffected() != 1 {
		return fmt.Errorf("version %d of key %d is superseded", w.Version, w.Key)
	}
	_, err = tx.Exec(ctx, note, w.Version)
	return err
}

// Suffer begins a trouble and returns at once.
func (s *Service) Suffer(t Trouble, _ *int) error {
	s.p.trouble.begin(t)

	if t.Starve == 0 {
		return nil
	}

	ctx, cancel := context.WithTimeout(s.p.ctx, writeTimeout)
	defer cancel()

	for range s.p.cfg.Conns {
		conn, err := s.p.pool.Acquire(ctx)
		if err != nil {
			return errors.Join(errors.New("starve the pool"), err)
		}
		time.AfterFunc(t.Starve, conn.Release)
	}

	return nil
}
