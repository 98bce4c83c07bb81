package cache

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

//go:embed query/snapshot.sql
var snapshotSQL string

// Snapshot is what a value was read in: a pg_snapshot, and whether a standby said so. The zero Snapshot says nothing.
type Snapshot struct {
	at      position.Snapshot
	standby bool
}

// ParseSnapshot reads the text of pg_current_snapshot(). Standby is pg_is_in_recovery() of the same server; both
// belong into the statement that reads the value, or into its REPEATABLE READ transaction, because otherwise every
// statement has a snapshot of its own.
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

// IsZero says whether this is no snapshot.
func (s Snapshot) IsZero() bool { return s.at.Xmax == 0 }

// Standby says whether it was taken on a standby.
func (s Snapshot) Standby() bool { return s.standby }

// String is the text form of pg_snapshot.
func (s Snapshot) String() string { return s.at.String() }

// reliable is what the snapshot surely sees. A standby does not list the transactions that are in progress, so only those
// below xmin are sure to have ended.
func (s Snapshot) reliable() position.Snapshot {
	if s.standby {
		return position.Snapshot{Xmin: s.at.Xmin, Xmax: s.at.Xmin}
	}
	return s.at
}

// Beginner begins transactions: a *pgxpool.Pool, a *pgx.Conn.
type Beginner interface {
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// InSnapshot runs read in a read-only REPEATABLE READ transaction, all of whose statements see the same, and returns its
// snapshot for Loaded.Snapshot. It costs two round trips more than reading directly, so it is for standbys.
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
