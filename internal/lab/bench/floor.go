package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// floor is the least that any log row can cost: two columns, one index, no WAL,
// written in the round trip of COMMIT by a few lines that handle no error well.
type floor struct{ pool *pgxpool.Pool }

const (
	floorTable = `CREATE UNLOGGED TABLE IF NOT EXISTS floor (xid xid8 NOT NULL DEFAULT pg_current_xact_id(), key text NOT NULL);
		CREATE INDEX IF NOT EXISTS floor_xid ON floor (xid); TRUNCATE floor`
	floorInsert = `INSERT INTO floor (key) VALUES ($1)`
)

func (f *floor) name() string { return "floor" }

func (f *floor) start(ctx context.Context) error {
	if _, err := f.pool.Exec(ctx, floorTable); err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	return nil
}

func (f *floor) transact(ctx context.Context, id int64) error {
	conn, err := f.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	defer conn.Release() // a connection in a transaction is closed by this

	// Prepare asks the server once per connection.
	insert, err := conn.Conn().Prepare(ctx, "floor", floorInsert)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}

	tx, err := conn.Conn().BeginTx(ctx, pgx.TxOptions{})
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	if _, err := tx.Exec(ctx, update, id); err != nil {
		return fmt.Errorf("floor: %w", err)
	}

	var batch pgconn.Batch
	batch.ExecStatement(insert, [][]byte{strconv.AppendInt(nil, id, 10)}, nil, nil)
	batch.ExecParams("commit", nil, nil, nil, nil)

	if _, err := conn.Conn().PgConn().ExecBatch(ctx, &batch).ReadAll(); err != nil {
		return fmt.Errorf("floor: %w", err)
	}

	return nil
}

func (f *floor) stop(ctx context.Context, commits int64) error {
	var rows int64
	if err := f.pool.QueryRow(ctx, `SELECT count(*) FROM floor`).Scan(&rows); err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	if rows != commits {
		return fmt.Errorf("floor: %d rows after %d commits", rows, commits)
	}
	return nil
}
