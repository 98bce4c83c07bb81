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

// Invalidate adds keys of a topic. They become invalid when the transaction has committed.
func (s *Staging) Invalidate(topic string, keys ...string) { s.add(topic, keys, false) }

// InvalidateAll adds every key of a topic.
func (s *Staging) InvalidateAll(topic string) { s.add(topic, nil, true) }

// Add adds events, for example those that a cache returns for its keys and tags.
func (s *Staging) Add(events ...Event) {
	for _, e := range events {
		keys := e.Keys
		if e.All {
			keys = nil
		}
		s.add(e.Topic, keys, e.All)
	}
}

// Refuse is for this module: other modules cannot name the type of its parameter. It makes the commit fail.
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

// SQLConfig configures [Postgres.InSQLWith]. A nil or zero SQLConfig uses the defaults.
type SQLConfig struct {
	// Options are the isolation level and the access mode. Defaults to those of the database.
	Options *sql.TxOptions

	// Attempts is how often the transaction is run at most, as in TxConfig. The driver's errors must have a method
	// SQLState() string, as those of pgx and pq do. Defaults to 1, which never repeats.
	Attempts int
}

// InSQL runs fn in a database/sql transaction and commits it with the invalidations that fn adds to the Staging. It
// rolls back if fn returns an error or panics. If the response to COMMIT is lost, the error is the driver's and the
// outcome is unknown; if it did commit, its events are in the log.
func (p *Postgres) InSQL(ctx context.Context, db *sql.DB, fn func(*sql.Tx, *Staging) error) (Receipt, error) {
	return p.InSQLWith(ctx, db, nil, fn)
}

// InSQLWith is InSQL with options. It repeats the transaction as [Postgres.InTxWith] does if cfg.Attempts says so.
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
