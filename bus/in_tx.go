package bus

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
)

// TxConfig configures [Postgres.InTxWith]. A nil or zero TxConfig uses the defaults.
type TxConfig struct {
	// Options are the isolation level, the access mode and so on. Defaults to those of the database.
	Options pgx.TxOptions

	// Attempts is how often the transaction is run at most. It is run again if the server rolls it back because of
	// concurrent transactions: after a serialization failure (40001) or a deadlock (40P01), in fn or at the commit.
	// Raise it for the levels RepeatableRead and Serializable, if fn can be repeated. Defaults to 1, which never
	// repeats.
	Attempts int
}

// InTx runs fn in a transaction and commits it. It rolls back if fn returns an error or panics.
func (p *Postgres) InTx(ctx context.Context, fn func(*Tx) error) (Receipt, error) {
	return p.inTx(ctx, pgx.TxOptions{}, fn)
}

// InTxWith is InTx with options. If cfg.Attempts says so, it repeats a transaction that conflicts with others. Each
// attempt has a transaction of its own, and the invalidations of a failed one are discarded. Between attempts it
// waits for a random time of at most a quarter of a second. It never repeats after an unknown outcome
// ([ErrOutcomeUnknown]).
func (p *Postgres) InTxWith(ctx context.Context, cfg *TxConfig, fn func(*Tx) error) (receipt Receipt, err error) {
	if cfg == nil {
		cfg = &TxConfig{}
	}
	err = repeat(ctx, cfg.Attempts, func() error {
		receipt, err = p.inTx(ctx, cfg.Options, fn)
		return err
	})
	return receipt, err
}

func (p *Postgres) inTx(ctx context.Context, options pgx.TxOptions, fn func(*Tx) error) (Receipt, error) {
	t, err := p.BeginTx(ctx, options)
	if err != nil {
		return Receipt{}, err
	}
	defer func() {
		if !t.closed() { // fn has failed, panicked, or ended its goroutine
			t.abandon(ctx)
		}
	}()

	if err := fn(t); err != nil {
		return Receipt{}, err
	}
	err = t.Commit(ctx)
	return t.Receipt(), err
}

// Waits between attempts.
const (
	repeatBase = 5 * time.Millisecond
	repeatMax  = 250 * time.Millisecond
)

// repeat calls once until it does not fail for a conflict, at most so many times.
func repeat(ctx context.Context, attempts int, once func() error) error {
	wait := backoff.Backoff{Base: repeatBase, Max: repeatMax}
	for ; ; attempts-- {
		err := once()
		if attempts <= 1 || !isConflict(err) || !backoff.Wait(ctx, wait.Next()) {
			return err
		}
	}
}

// isConflict reports whether the server rolled a transaction back because of others that ran at the same time. It knows
// the errors of every driver that has the usual method for the SQLSTATE.
func isConflict(err error) bool {
	var e interface{ SQLState() string }
	if errors.Is(err, ErrOutcomeUnknown) || !errors.As(err, &e) {
		return false
	}
	return e.SQLState() == "40001" || e.SQLState() == "40P01"
}
