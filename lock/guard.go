package lock

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Guard ties a transaction to the lease: if it returns nil and the transaction commits, no other process was granted
// the lease before the commit. For a shared lease this means no exclusive owner, and for a semaphore no other holder
// in its place. Call it at the start of the transaction, or at any time before the commit. The transaction must be in
// the database of the Locker's pool; otherwise the error is [ErrNotGuarded] or [ErrSchema].
//
// The exclusion comes from a row lock and not from a clock: until the transaction ends, the database does not allow a
// change of the lease's token. The clock can only refuse: an expired lease does not guard any more. A guarded
// transaction does not delay renewals, Release and Steal, but it delays the next grant until it ends, so keep it
// short. At REPEATABLE READ and SERIALIZABLE, a lease that was taken over since the transaction's snapshot gives a
// serialization failure (SQLSTATE 40001), and one that was granted or renewed after the snapshot may give
// ErrNotGuarded: then begin again. After an error the transaction can only be rolled back.
//
// A guard inside a savepoint (a pgx.Tx that was begun on another one is a savepoint) is lost when the savepoint is
// rolled back, and the outer transaction does not notice. Guard the outermost transaction. The first guard in a
// savepoint of pgx is logged as a warning. Guarding again is cheap and allowed.
func (l *Lease) Guard(ctx context.Context, tx pgx.Tx) error {
	if err := l.Err(); err != nil {
		return err
	}
	if tx == nil {
		return fmt.Errorf("%w: tx is nil", ErrNotGuarded)
	}
	l.warnOfSavepoint(ctx, tx)
	var one int
	return l.guarded(tx.QueryRow(ctx, l.guardSQL(), l.key, l.token, l.id, l.database).Scan(&one))
}

// GuardSQL is Guard for database/sql. The driver must accept Postgres's own placeholders, $1, as those of pgx and pq
// do. What Guard says about savepoints applies to savepoints that the caller makes with SQL.
func (l *Lease) GuardSQL(ctx context.Context, tx *sql.Tx) error {
	if err := l.Err(); err != nil {
		return err
	}
	if tx == nil {
		return fmt.Errorf("%w: tx is nil", ErrNotGuarded)
	}
	var one int
	return l.guarded(tx.QueryRowContext(ctx, l.guardSQL(), l.key, l.token, l.id, l.database).Scan(&one))
}

// warnOfSavepoint logs once that a guard is taken inside a savepoint. The database does not say that, and pgx only by the
// type of the transaction, which has no exported name: another version's makes no warning, and no error.
func (l *Lease) warnOfSavepoint(ctx context.Context, tx pgx.Tx) {
	if fmt.Sprintf("%T", tx) != "*pgx.dbSimulatedNestedTx" || l.locker.c.savepoint.Swap(true) {
		return
	}
	l.locker.c.log.WarnContext(ctx, "guard inside a savepoint: it is gone if the savepoint is rolled back, guard the outermost transaction")
}

// guardSQL is the statement.
func (l *Lease) guardSQL() string {
	if l.share != nil {
		return l.locker.c.sql.guardShare
	}
	return l.locker.c.sql.guard
}

func (l *Lease) guarded(err error) error {
	if err == nil {
		return nil
	}
	l.locker.c.metrics.refused.Add(1)
	l.locker.c.look(hashOf(l.key)) // perhaps it is lost
	if errors.Is(err, pgx.ErrNoRows) || errors.Is(err, sql.ErrNoRows) {
		if lost := l.Err(); lost != nil {
			return lost
		}
		return fmt.Errorf("%w: %.80q, token %d: not held in this database", ErrNotGuarded, l.key, l.token)
	}
	return wrap("guard", l.key, err)
}

// wrap says what was being done to which key.
func wrap(what, key string, err error) error {
	return fmt.Errorf("lock: %s %.80q: %w", what, key, explain(err))
}
