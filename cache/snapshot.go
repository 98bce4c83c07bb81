package cache

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/fill"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

//go:embed query/snapshot.sql
var snapshotSQL string

// Snapshot is the snapshot of a read: a pg_snapshot, and whether it is from a standby. The zero Snapshot means none.
type Snapshot struct {
	at      position.Snapshot
	standby bool
}

// ParseSnapshot parses the text of pg_current_snapshot(). standby is pg_is_in_recovery() of the same server. Both
// must be read in the statement that reads the value, or in its REPEATABLE READ transaction, because otherwise each
// statement has its own snapshot.
func ParseSnapshot(text string, standby bool) (Snapshot, error) {
	at, err := position.ParseSnapshot(text)
	if err != nil {
		return Snapshot{}, fmt.Errorf("cache: %w", err)
	}
	if at.Xmax == 0 {
		return Snapshot{}, fmt.Errorf("cache: empty snapshot %q", text)
	}
	return Snapshot{at: at, standby: standby}, nil
}

// IsZero reports whether there is no snapshot.
func (s Snapshot) IsZero() bool { return s.at.Xmax == 0 }

// Standby reports whether the snapshot is from a standby.
func (s Snapshot) Standby() bool { return s.standby }

// String returns the text form of pg_snapshot.
func (s Snapshot) String() string { return s.at.String() }

// view returns the snapshot as the rules of fills take it.
func (s Snapshot) view() fill.ReadView { return fill.ReadView{At: s.at, Standby: s.standby} }

// Beginner begins transactions, for [InSnapshot]: a *pgxpool.Pool or a *pgx.Conn.
type Beginner interface {
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// InSnapshot runs read in a read-only REPEATABLE READ transaction, whose statements all see the same snapshot, and
// returns that snapshot for Loaded.Snapshot. It takes two round trips more than a direct read, so use it for standbys
// only.
func InSnapshot(ctx context.Context, db Beginner, read func(pgx.Tx) error) (Snapshot, error) {
	var text string
	var standby bool
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, db, options, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, snapshotSQL).Scan(&text, &standby); err != nil {
			return fmt.Errorf("cache: snapshot: %w", err)
		}
		return read(tx)
	})
	if err != nil {
		return Snapshot{}, err
	}
	return ParseSnapshot(text, standby)
}
