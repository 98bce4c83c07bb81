package bus

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// SQLBus is a bus for applications on database/sql. [Postgres] and [Local] implement it, so an application for which
// Postgres is optional is written once: it uses [Open] or [NewPostgres] with Postgres, and [NewLocal] where it runs
// as one process on SQLite or any other database with a driver. All methods are safe for concurrent use.
type SQLBus interface {
	Bus

	// InSQL runs fn in a transaction of db and commits it with the invalidations that fn adds to the Staging. It
	// rolls back if fn returns an error or panics.
	InSQL(ctx context.Context, db *sql.DB, fn func(*sql.Tx, *Staging) error) (Receipt, error)

	// InSQLWith is InSQL with options. A nil cfg uses the defaults.
	InSQLWith(ctx context.Context, db *sql.DB, cfg *SQLConfig, fn func(*sql.Tx, *Staging) error) (Receipt, error)

	// StageSQL stages events in a transaction that other code commits, such as an ORM. Call Committed on the result
	// after the commit: a Local bus delivers the events only then.
	StageSQL(ctx context.Context, db SQLExecer, events ...Event) (*Staged, error)

	// ConfirmWithin is Confirm for request paths: it waits for at most d, and reports whether the receipt is
	// confirmed.
	ConfirmWithin(ctx context.Context, r Receipt, d time.Duration) (bool, error)
}

var (
	_ SQLBus = (*Postgres)(nil)
	_ SQLBus = (*Local)(nil)
)

// InSQL is [Postgres.InSQL] for any driver and any database. The events are delivered after the commit has succeeded.
func (l *Local) InSQL(ctx context.Context, db *sql.DB, fn func(*sql.Tx, *Staging) error) (Receipt, error) {
	return l.InSQLWith(ctx, db, nil, fn)
}

// InSQLWith is InSQL with options. It repeats a transaction only for drivers that report an SQLSTATE, as those of
// Postgres do.
func (l *Local) InSQLWith(ctx context.Context, db *sql.DB, cfg *SQLConfig, fn func(*sql.Tx, *Staging) error) (Receipt, error) {
	return inSQL(ctx, l, DefaultMaxKeys, db, cfg, fn)
}

// StageSQL records events of a transaction of the caller, with any driver. It executes no statement. Only
// Staged.Committed delivers the events. Like [Postgres.StageSQL] it refuses a *sql.DB.
func (l *Local) StageSQL(ctx context.Context, db SQLExecer, events ...Event) (*Staged, error) {
	gathered, err := gather(events, DefaultMaxKeys)
	switch {
	case err != nil:
		return nil, err
	case len(gathered) == 0:
		return &Staged{local: l}, nil
	case sqlTransaction(db) == transactionNo:
		return nil, fmt.Errorf("bus: stage: %w", ErrNotInTransaction)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("bus: stage: %w", ctx.Err())
	}
	return &Staged{local: l, events: gathered}, nil
}

// uncertain implements sqlStager. The values may or may not have changed, so they are read again.
func (l *Local) uncertain(events []Event) {
	l.stats.uncertain.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		l.registry.deliver(Delivery{Event: e, Local: true, Uncertain: true})
	}
}
