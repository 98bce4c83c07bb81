package bus

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// Staging collects the invalidations of one InSQL transaction.
type Staging struct {
	maxKeys  int
	readOnly bool
	events   pending
}

// Invalidate notes keys of a topic that are no longer valid once the transaction has committed.
func (s *Staging) Invalidate(topic string, keys ...string) { s.add(topic, keys, false) }

// InvalidateAll notes that every key of a topic is no longer valid.
func (s *Staging) InvalidateAll(topic string) { s.add(topic, nil, true) }

// Add notes events, such as those that a cache makes of its keys and tags.
func (s *Staging) Add(events ...Event) {
	for _, e := range events {
		keys := e.Keys
		if e.All {
			keys = nil
		}
		s.add(e.Topic, keys, e.All)
	}
}

// Refuse implements hook.Invalidator.
func (s *Staging) Refuse(_ hook.Token, err error) {
	if s.events.err == nil {
		s.events.err = err
	}
}

func (s *Staging) add(topic string, keys []string, all bool) {
	s.events.add(topic, keys, all, s.maxKeys)
	if s.readOnly && s.events.err == nil && len(s.events.events) > 0 {
		s.events.err = ErrReadOnly
	}
}

// SQLConfig says how InSQLWith runs a transaction. A nil or zero SQLConfig is that of InSQL.
type SQLConfig struct {
	// Options are the isolation level, and whether the transaction is read-only. Nil means those of the database.
	Options *sql.TxOptions

	// Attempts is how often the transaction is run at most, as in TxConfig. Defaults to 1, which never repeats. The driver's
	// errors must have a method SQLState() string, as those of pgx and pq do.
	Attempts int
}

// InSQL runs fn in a database/sql transaction and commits it with the invalidations noted in fn, or rolls it back if
// fn returns an error or panics. If the answer of the commit is lost the error is the driver's; whether it happened is
// then not known, but if it did, its events are in the log.
func (p *Postgres) InSQL(ctx context.Context, db *sql.DB, fn func(*sql.Tx, *Staging) error) (Receipt, error) {
	return p.InSQLWith(ctx, db, nil, fn)
}

// InSQLWith is InSQL with options, and with repetition where cfg.Attempts asks for it, as in InTxWith.
func (p *Postgres) InSQLWith(ctx context.Context, db *sql.DB, cfg *SQLConfig, fn func(*sql.Tx, *Staging) error) (Receipt, error) {
	return inSQL(ctx, p, p.cfg.MaxKeys, db, cfg, fn)
}

// sqlStager is a bus whose events are staged in transactions of database/sql.
type sqlStager interface {
	StageSQL(ctx context.Context, db SQLExecer, events ...Event) (*Staged, error)

	// uncertain delivers events of a commit whose outcome is unknown.
	uncertain(events []Event)
}

func inSQL(
	ctx context.Context, b sqlStager, maxKeys int, db *sql.DB, cfg *SQLConfig, fn func(*sql.Tx, *Staging) error,
) (receipt Receipt, err error) {
	if cfg == nil {
		cfg = &SQLConfig{}
	}
	err = repeat(ctx, cfg.Attempts, func() error {
		staging := &Staging{maxKeys: maxKeys, readOnly: cfg.Options != nil && cfg.Options.ReadOnly}
		receipt, err = inSQLOnce(ctx, b, db, cfg.Options, staging, fn)
		return err
	})
	return receipt, err
}

func inSQLOnce(
	ctx context.Context, b sqlStager, db *sql.DB, options *sql.TxOptions, staging *Staging, fn func(*sql.Tx, *Staging) error,
) (Receipt, error) {
	tx, err := db.BeginTx(ctx, options)
	if err != nil {
		return Receipt{}, fmt.Errorf("bus: begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit this does nothing

	if err := fn(tx, staging); err != nil {
		return Receipt{}, err
	}
	if staging.events.err != nil {
		return Receipt{}, fmt.Errorf("bus: commit: %w", staging.events.err)
	}
	staged, err := b.StageSQL(ctx, tx, staging.events.events...)
	if err != nil {
		return Receipt{}, err
	}

	if err := tx.Commit(); err != nil {
		if len(staged.events) > 0 && !isConflict(err) {
			b.uncertain(staged.events)
		}
		return Receipt{}, fmt.Errorf("bus: commit: %w", err)
	}
	return staged.Committed(), nil
}
